"""A charter is drafted, written, compared, and adopted by its written rule with the dissent beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_charter_consensus import camps, matrix
from tests.test_cli_charter import export
from trimtab.charter.adoption import adopt, votes_digest
from trimtab.charter.charter import UNWRITTEN, Charter, Principle, Rule, missing, read_charter, unsaid
from trimtab.charter.compare_charters import changes, unversioned
from trimtab.charter.read_votes import read_votes
from trimtab.charter.tally import Options, Tally, tally
from trimtab.charter.write_charter import charter_toml, write_charter
from trimtab.errors import ConfigError, InputError
from trimtab.mechanisms.values.teaching import make_teaching
from trimtab.mechanisms.writer import Writer
from trimtab.records.record import digest
from trimtab.records.toml import parse_toml

if TYPE_CHECKING:
    from tests.conftest import Command

RULE = Rule(figure="minimum", least=0.5, votes=5, dissent=0.25)


def principle(ident: str, *statements: str) -> Principle:
    return Principle(id=ident, statement="S.", rationale="R.", voted_on=statements or None)


def charter(*principles: Principle, rule: Rule | None = RULE) -> Charter:
    return Charter(name="c", version="1", rule=rule, principle=principles)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Tally:
    return tally(read_votes(export(tmp_path_factory.mktemp("export"))), Options(k=2))


def test_the_rule_adopts_rejects_and_leaves_open(counted: Tally) -> None:
    found = adopt(
        charter(principle("all", "2"), principle("camp", "0"), principle("none")), counted, "d"
    ).charter
    by_id = {p.id: p for p in found.principle}
    assert {i: p.status for i, p in by_id.items()} == {"all": "adopted", "camp": "rejected", "none": None}
    adoption = by_id["all"].adoption
    assert adoption is not None
    assert adoption.low >= 0.5
    assert [(g.group, g.agreed, g.seen) for g in adoption.groups] == [("A", 16, 16), ("B", 8, 8)]
    strict = RULE.model_copy(update={"votes": 9})  # the smaller group cast 8
    assert (
        adopt(charter(principle("all", "2"), rule=strict), counted, "d").charter.principle[0].status == "open"
    )


def test_an_adoption_says_which_groups_it_was_between_and_whether_they_were_given() -> None:
    votes = replace(matrix(camps(30, 10)), given=("x",) * 20 + ("y",) * 19 + ("",))
    named, digests = charter(principle("all", "6")), []
    for options, origin, sizes, unplaced in (
        (Options(), "own", {"A": 30, "B": 10}, 0),
        (Options("given"), "given", {"x": 20, "y": 19}, 1),
    ):
        found = adopt(named, tally(votes, options), "d").charter.principle[0].adoption
        assert found is not None
        assert found.grouping is not None
        assert found.grouping.origin == tally(votes, options).to_json()["groups"]["origin"] == origin
        assert {g.group: g.members for g in found.grouping.groups} == sizes
        assert found.grouping.unplaced == unplaced
        digests.append(found.grouping.digest)
    members = {str(i): "xy"[i >= 20] for i in range(39)}
    assert digests == [digest({str(i): "AB"[i >= 30] for i in range(40)}), digest(members)]


def test_the_groups_of_an_adoption_are_shown_and_their_lack_is(command: Command, tmp_path: Path) -> None:
    votes, draft, adopted = tmp_path / "votes.csv", tmp_path / "draft.toml", tmp_path / "adopted.toml"
    rows = [f"{i},{'left' if i < 12 else 'right'},{int(i < 12)},1\n" for i in range(24)]
    votes.write_text("voter,group,0,1\n" + "".join(rows))
    write_charter(charter(principle("all", "1")), draft)
    for groups, told in (
        ("own", "groups found in these votes: A 12, B 12; 0 people in none; digest "),
        ("given", "groups given with the votes: left 12, right 12; 0 people in none; digest "),
    ):
        code, out, err = command("charter", "adopt", draft, votes, "--groups", groups, "-o", adopted)
        assert code == 0, err
        assert told in out
        assert told in command("charter", "show", adopted).out
        kept = read_charter(adopted)
        adopted.unlink()
        named = "found in these votes" if groups == "own" else "given with the votes"
        assert f"; {named}" in command("charter", "tally", votes, "--groups", groups).out
    before = kept.principle[0].adoption
    assert before is not None
    older = before.model_copy(update={"grouping": None})
    write_charter(charter(kept.principle[0].model_copy(update={"adoption": older})), adopted)
    assert "groups not recorded" in command("charter", "show", adopted).out


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("1", ""),
        ("0 1", "approval puts statement '0', which is rejected, in place 2 and '1', which is adopted, in place 3"),
        ("1 2", "statement '2' has of group 's' 7 votes, 35 % of its people"),
    ],
)  # fmt: skip
def test_strict_refuses_what_rankings_or_the_votes_of_a_group_do_not_bear_out(
    command: Command, tmp_path: Path, named: str, told: str
) -> None:
    """All of the larger group and none of the smaller want 0, most of both want 1, and few of the smaller saw 2."""
    votes, draft, adopted = tmp_path / "votes.csv", tmp_path / "draft.toml", tmp_path / "adopted.toml"
    small = [f"{i},s,-1,1,{1 if i < 7 else ''}\n" for i in range(20)]
    large = [f"{i},l,1,{1 if i < 130 else -1},1\n" for i in range(20, 170)]
    votes.write_text("voter,group,0,1,2\n" + "".join(small + large))
    write_charter(charter(*(principle(f"p{s}", s) for s in named.split())), draft)
    arguments = ("charter", "adopt", draft, votes, "--groups", "given", "-o", adopted)
    assert command(*arguments).code == 0
    assert "open" not in [p.status for p in read_charter(adopted).principle]
    adopted.unlink()

    code, out, err = command(*arguments, "--strict")
    assert (code, adopted.exists()) == ((3, False) if told else (0, True))
    if told:
        assert (out, err.count("\n")) == ("", 1)
        assert told in err
        assert "[adopt.unsettled]" in err


def test_what_only_the_larger_of_two_camps_wants_is_not_adopted() -> None:
    counted = tally(matrix(camps(30, 10)))
    found = adopt(charter(principle("majority", "0"), principle("all", "6")), counted, "d").charter
    assert [p.status for p in found.principle] == ["rejected", "adopted"]


@pytest.mark.parametrize("figure", ["group_aware", "minimum"])
def test_what_a_group_hardly_saw_is_open_and_not_rejected(figure: Any) -> None:
    value = np.concatenate([camps(10, 10, 10, 10), -np.ones((40, 1), int)], axis=1)
    votes = matrix(value)
    last = votes.column == value.shape[1] - 1
    for seen in (0, 4):  # nobody; fewer of each group than the rule asks for, all against it
        keep = ~last | (votes.row % 10 < seen)
        cut = replace(votes, row=votes.row[keep], column=votes.column[keep], value=votes.value[keep])
        rule = RULE.model_copy(update={"figure": figure})
        named = principle("p", str(value.shape[1] - 1))
        counted = tally(cut, Options(k=4, least=0))
        assert adopt(charter(named, rule=rule), counted, "d").charter.principle[0].status == "open"


def test_the_worst_of_several_statements_decides(counted: Tally) -> None:
    found = adopt(charter(principle("both", "2", "0")), counted, "d").charter.principle[0]
    assert found.status == "rejected"
    assert found.adoption is not None
    assert found.adoption.statement == "0"


def test_what_is_rejected_is_shown_and_not_what_nobody_saw() -> None:
    half = np.where(np.arange(40) % 2, 1, -1)[:, None]
    votes = matrix(np.concatenate([camps(30, 10), half, np.ones((40, 1), int)], axis=1))
    split, last = len(votes.statements) - 2, len(votes.statements) - 1
    seen = votes.column != last
    unseen = replace(
        votes, row=votes.row[seen], column=votes.column[seen], value=votes.value[seen],
        given=("a",) * 30 + ("b",) * 10,
    )  # fmt: skip
    counted = tally(unseen, Options("given", least=0))
    low = counted.figures["minimum"].low
    assert low[last] < low[split]
    rule = RULE.model_copy(update={"least": 0.85})
    named = principle("p", str(split), str(last))
    found = adopt(charter(named, rule=rule), counted, "d").charter.principle[0]
    assert found.adoption is not None
    assert (found.status, found.adoption.statement) == ("rejected", str(split))


def test_what_people_retired_stays_retired(counted: Tally) -> None:
    retired = principle("all", "2").model_copy(update={"status": "retired"})
    assert adopt(charter(retired, principle("camp", "0")), counted, "d").charter.principle[0] == retired


def test_rankings_adopt_nothing(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("ranking\na > b\nb > a\n")
    with pytest.raises(InputError, match=r"rankings do not say.*adopt\.rankings"):
        adopt(charter(principle("p", "a")), tally(read_votes(tmp_path / "r.csv")), "d")


def test_dissent_is_kept_with_the_reasons_that_people_wrote(counted: Tally) -> None:
    once = adopt(charter(principle("camp", "0")), counted, "d").charter
    dissent = once.principle[0].dissent
    assert dissent is not None
    assert [(d.group, d.disagreed, d.seen) for d in dissent] == [("B", 8, 8)]
    told = dissent[0].model_copy(update={"reason": "It costs us more."})
    again = adopt(charter(once.principle[0].model_copy(update={"dissent": (told,)})), counted, "d").charter
    assert again.principle[0].dissent == (told,)
    moved = again.principle[0].model_copy(update={"voted_on": ("2",)})
    assert adopt(charter(moved), counted, "d").lost == (
        "principle camp, group B, statement 0: It costs us more.",
    )


def test_what_the_rule_would_adopt_and_nobody_claims_is_told(counted: Tally) -> None:
    assert adopt(charter(principle("camp", "0")), counted, "d").unclaimed == ("2",)


def test_all_problems_are_told_at_once(counted: Tally) -> None:
    with pytest.raises(ConfigError) as caught:
        adopt(charter(principle("a", "77"), principle("b", "3"), rule=None), counted, "d")
    assert [p.code for p in caught.value.problems] == ["adopt.no-rule", "adopt.unknown", "adopt.unknown"]
    with pytest.raises(ConfigError) as caught:
        adopt(charter(principle("a")), counted, "d")
    assert [p.code for p in caught.value.problems] == ["adopt.no-statement"]


def test_a_written_charter_reads_back_the_same(counted: Tally, tmp_path: Path) -> None:
    for i, wanted in enumerate(
        (read_charter(), adopt(charter(principle("camp", "0", "2")), counted, "d").charter)
    ):
        path = tmp_path / f"{i}.toml"
        write_charter(wanted, path, head="one\ntwo")
        assert read_charter(path) == wanted
        with pytest.raises(InputError):
            write_charter(wanted, path)


@given(st.text(min_size=1).filter(str.strip))
def test_any_text_survives_toml(text: str) -> None:
    wanted = Charter(name=text, version="1", principle=(principle("a"),))
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    found = parse_toml(charter_toml(wanted).encode(), place="x", area="charter")
    assert Charter.model_validate(found) == wanted


def test_keys_that_are_not_set_are_not_in_the_digest() -> None:
    plain = Charter(name="c", version="1", principle=(Principle(id="a", statement="S.", rationale="R."),))
    assert plain.digest == Charter.model_validate(plain.model_dump(exclude_none=True)).digest
    assert plain.digest != charter(principle("a")).digest


def test_changes_and_what_kept_its_version() -> None:
    one = charter(principle("a"), principle("b"))
    told = principle("a").model_copy(update={"statement": "T.", "version": "1"})
    two = charter(told, principle("c"))
    assert [str(c) for c in changes(one, two)] == [
        "removed: b", 'changed: a, statement: "S." → "T."', 'changed: a, version: not set → "1"', "added: c",
    ]  # fmt: skip
    assert unversioned(one, two) == [""]
    three = charter(told.model_copy(update={"statement": "U."}), principle("c"))
    assert unversioned(two, three) == ["", "a"]
    assert not changes(one, one)
    assert not unversioned(one, one)


def test_what_readers_would_miss() -> None:
    assert not missing(read_charter())
    adopted = principle("a", "1").model_copy(update={"status": "adopted"})
    told = missing(charter(adopted, principle("b"), rule=None))
    assert any(line.startswith("a has no examples") and "adoption" in line for line in told)
    assert "the same statement in a, b" in told
    assert any("no [rule]" in line for line in told)


def test_a_survey_and_a_ranking_as_the_source_of_a_draft(command: Command, tmp_path: Path) -> None:
    survey, long = tmp_path / "s.csv", "Machines should " + "always " * 12 + "stop"
    survey.write_text(f'q7,"{long}"\n' + "1,1\n1,0\n" * 9)
    assert command("charter", "init", tmp_path / "c.toml", "--votes", survey).code == 0
    drafted = {p.voted_on: p for p in read_charter(tmp_path / "c.toml").principle}
    assert drafted["q7",].statement == "Statement q7"
    assert drafted[long,].statement == long
    assert len(drafted[long,].id) < 60
    survey.write_text("ranking\na > b\n")
    code, _, err = command("charter", "init", tmp_path / "d.toml", "--votes", survey)
    assert (code, "[charter.rankings]" in err, (tmp_path / "d.toml").exists()) == (2, True, False)


def test_a_draft_without_a_reason_is_told_and_its_reason_is_not_taught() -> None:
    draft = Principle(id="s-1", statement="Be plain.", rationale=UNWRITTEN, status="draft")
    assert "no rationale yet" in missing(charter(draft))[0]
    writer = Writer(None, None, seed=0)  # type: ignore[arg-type]
    made = make_teaching(writer, charter(draft), documents=2, demonstrations=0)
    assert (made.records, made.missing) == ([], {"documents, s-1": 2})


def test_other_words_under_a_built_in_id_are_told() -> None:
    own = read_charter().principle[0].model_copy(update={"statement": "Other."})
    told = missing(charter(own, *read_charter().principle[1:]))
    assert len(told) == 1
    assert told[0].endswith(
        f"another statement than the built-in principle of that id, whose pairs are used, in {own.id}"
    )


def test_framing_status_and_version_are_shown_and_their_lack_is_noted(
    command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "c.toml"
    about = {"framing": "avoid", "status": "open", "version": "3"}
    write_charter(charter(principle("a").model_copy(update=about), principle("b")), path)
    shown = command("charter", "show", path).out
    assert "a (open, version 3, asks to avoid): S." in shown
    assert "b: S." in shown
    code, out, _ = command("charter", "validate", path)
    assert code == 0
    for key in about:
        assert f"note: no {key} in b\n" in out


def test_a_key_that_no_principle_has_is_one_note() -> None:
    plain = charter(*(principle(i) for i in "abc"))
    assert unsaid(plain) == [f"no {k} in any of the 3 principles" for k in ("framing", "status", "version")]


def test_the_digest_of_votes_is_of_all_files_but_hidden_ones(tmp_path: Path) -> None:
    folder = export(tmp_path)
    before = votes_digest(folder)
    (folder / ".DS_Store").write_bytes(b"\0")
    assert votes_digest(folder) == before
    (folder / "comments.csv").write_text("comment-id,comment-body\n0,x\n")
    assert votes_digest(folder) != before


def test_from_votes_to_an_adopted_charter(command: Command, tmp_path: Path) -> None:
    votes, draft, adopted = tmp_path / "votes", tmp_path / "draft.toml", tmp_path / "adopted.toml"
    votes.mkdir()
    export(votes)
    assert command("charter", "init", draft, "--votes", votes, "--top", 2).code == 0
    assert read_charter(draft).principle[0].voted_on == ("2",)
    code, out, _ = command("charter", "validate", draft)
    assert code == 0
    assert read_charter(draft).digest in out
    assert "note: s-2 has no examples" in out
    draft.write_text(draft.read_text().replace("dissent = 0.25", "dissent = 0.25\ngroups = 2"))
    code, out, _ = command("charter", "adopt", draft, votes, "-o", adopted)
    assert code == 0
    assert "s-2 (adopted, version 1)" in out
    assert read_charter(adopted).principle[0].status == "adopted"
    code, out, _ = command("charter", "show", adopted)
    assert code == 0
    assert "minimum 0." in out
    code, out, err = command("charter", "diff", draft, adopted)
    assert code == 0
    assert "changed: s-2, status" in out
    assert "note: the charter changed and kept its version" in err
    assert command("charter", "init", draft).code == 2
