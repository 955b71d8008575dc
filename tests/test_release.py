"""From a finished run to a released one: keys, reviews, quorum, status, trace, recall, documents."""

from __future__ import annotations

import json
import shutil
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.charter.charter import read_charter
from trimtab.charter.write_charter import charter_toml
from trimtab.errors import ConfigError, InputError
from trimtab.governance.catalogue import FILE as CATALOGUE
from trimtab.governance.catalogue import open_catalogue
from trimtab.governance.exports.croissant import croissant
from trimtab.governance.exports.source import Source
from trimtab.governance.exports.training_content import training_content
from trimtab.governance.keys import key_path, load_key, new_key, read_trust
from trimtab.governance.ledger.envelope import open_entry, seal
from trimtab.governance.ledger.ledger import open_ledger
from trimtab.governance.ledger.note import PublicKey
from trimtab.governance.recall import FILE as RECALLS
from trimtab.governance.recall import read_recalls, recall
from trimtab.governance.roles import Role, check_roles, read_roles
from trimtab.governance.standalone import verify as script
from trimtab.governance.status import status
from trimtab.governance.verify.verify import Outside, verify
from trimtab.records.read import read_records
from trimtab.run.directory import RunDirectory

if TYPE_CHECKING:
    from tests.conftest import Command, FinishedRun

QUESTION = "What did you read?"


@pytest.fixture(autouse=True)
def own_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_CONFIG", str(tmp_path / "config"))


@pytest.fixture
def run(tmp_path: Path, finished_run: FinishedRun) -> Path:
    keys = [str(new_key(name).public) for name in ("ann", "ben")]
    role = Role(name="safety", quorum=2, days=30, keys=tuple(keys), questions=(QUESTION,))
    return finished_run(tmp_path / "runs", (role,))


@pytest.fixture
def trial(tmp_path: Path, finished_run: FinishedRun, command: Command) -> Path:
    """Return a bundle that was released for a trial."""
    run = finished_run(tmp_path / "runs")
    assert command("release", run, "-o", tmp_path / "bundle", "--demo").code == 0
    return tmp_path / "bundle"


def sign(command: Command, run: Path, key: str, decision: str = "approve", answer: str = "All.") -> Any:
    return command(
        "review", run, "--role", "safety", "--key", key, "--decision", decision,
        "--comment", "Read.", "--answer", f"{QUESTION}={answer}",
    )  # fmt: skip


def waivers() -> list[str]:
    names = ("refusal_twins", "refusal_ordinary", "broken", "pair_gap", "gap_reversal", "preference_accuracy", "preference_matched", "nll_per_token", "attack_success")  # fmt: skip
    return [a for n in names for a in ("--waive", f"{n}:A. Owner:30:a fake model: nothing to see")]


def test_no_release_without_quorum(command: Command, run: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    ended = command("release", run, "-o", bundle, *waivers())
    assert ended.code == 2
    assert "0 of 2 approvals" in ended.err
    assert "[review.quorum]" in ended.err
    assert sign(command, run, "ann").code == 0
    assert sign(command, run, "ann").code == 0
    assert "1 of 2 approvals" in command("release", run, "-o", bundle, *waivers()).err
    assert "safety: 1 of 2 approvals" in command("status", run.parent).out
    assert sign(command, run, "ben").code == 0
    assert "[gate.not-passed]" in command("release", run, "-o", bundle).err
    assert not bundle.exists()
    code, out, err = command("release", run, "-o", bundle, *waivers())
    assert code == 0
    assert "waived: refusal_twins" in out
    assert f"next: trimtab verify {bundle}" in err
    assert "[release.exists]" in command("release", run, "-o", bundle, *waivers()).err
    code, out, _ = command("status", run.parent)
    assert code == 0
    assert "1 releases" in out


def test_a_rejection_stands_until_it_is_withdrawn(command: Command, run: Path, tmp_path: Path) -> None:
    assert sign(command, run, "ann", "reject").code == 0
    assert sign(command, run, "ben").code == 0
    ended = command("release", run, "-o", tmp_path / "b", *waivers())
    assert "[review.rejected]" in ended.err
    assert "safety: rejected" in command("status", run.parent).out
    assert sign(command, run, "ann").code == 0
    assert command("release", run, "-o", tmp_path / "b", *waivers()).code == 0
    notes = verify(tmp_path / "b").notes
    assert "approve by safety: Read." in notes


def test_a_review_is_of_these_files_only(command: Command, run: Path, tmp_path: Path) -> None:
    for key in ("ann", "ben"):
        sign(command, run, key)
    path = run / "adapters/trimtab_bias/adapter_model.safetensors"
    path.write_bytes(path.read_bytes() + b" ")
    ended = command("release", run, "-o", tmp_path / "b", *waivers())
    assert "[review.quorum]" in ended.err
    assert "[stage.changed]" in ended.err


def test_a_reviewer_signs_with_their_own_key_alone(
    command: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ann", "ben"):  # each on a machine of their own, with a copy of the runs and one key
        there = tmp_path / name
        shutil.copytree(run.parent, there / "runs")
        (there / "keys").mkdir(mode=0o700)
        shutil.move(tmp_path / f"config/keys/{name}.pem", there / f"keys/{name}.pem")
        with monkeypatch.context() as patched:
            patched.setenv("TRIMTAB_CONFIG", str(there))
            assert command("review", there / "runs" / run.name).code == 0
            given = ("--comment", "Read.", "--answer", f"{QUESTION}=All.", "--to", tmp_path / f"{name}.json")
            code, _, err = command(
                "review", there / "runs" / run.name, "--role", "safety", "--key", name, "--decision", "approve", *given
            )  # fmt: skip
            assert code == 0, err
            assert [p.stem for p in (there / "keys").iterdir()] == [name]
    added = [command("review", run, "--add", tmp_path / f"{name}.json").code for name in ("ann", "ben")]
    assert added == [0, 0]
    assert command("release", run, "-o", tmp_path / "b", *waivers()).code == 0
    assert verify(tmp_path / "b").exit_code == 3
    assert not script.verify(tmp_path / "b").failures


def test_a_run_is_reviewed_where_the_file_of_its_charter_is_not(
    command: Command, tmp_path: Path, finished_run: FinishedRun
) -> None:
    """Reviewers get the folder of runs, and nothing else of the operator's machine."""
    keys = [str(new_key(name).public) for name in ("ann", "ben")]
    role = Role(name="safety", quorum=2, days=30, keys=tuple(keys), questions=(QUESTION,))
    charter = tmp_path / "charter.toml"
    charter.write_text(charter_toml(read_charter()).replace('name = "', 'name = "our '))
    run = finished_run(tmp_path / "runs", (role,), charter=str(charter))
    charter.unlink()
    assert [sign(command, run, name).code for name in ("ann", "ben")] == [0, 0]
    assert command("release", run, "-o", tmp_path / "bundle", *waivers()).code == 0
    assert json.loads((tmp_path / "bundle/charter.json").read_bytes())["name"].startswith("our ")


@pytest.mark.parametrize(
    "config",
    [[], {"charter": None, "gates": []}, {"charter": None, "gates": [], "mechanisms": ["../../../escaped"]}],
)
def test_a_run_of_somebody_else_names_no_files_of_the_reviewers(
    command: Command, run: Path, tmp_path: Path, config: Any
) -> None:
    about = json.loads((run / "run.json").read_bytes())
    (run / "run.json").write_text(json.dumps({**about, "config": config}))
    ended = sign(command, run, "ann")
    assert (ended.code, "[release.no-run]" in ended.err) == (2, True)
    assert not list(tmp_path.rglob("escaped*"))


def test_what_a_reviewer_writes_is_one_line(command: Command, run: Path) -> None:
    """A comment must not look like what the command says itself."""
    more = ("--comment", "Read.\nrecomputed: holds", "--answer", f"{QUESTION}=All.")
    command("review", run, "--role", "safety", "--key", "ann", "--decision", "reject", *more)
    assert "Read.\\nrecomputed: holds" in command("review", run).out


def test_only_a_review_of_this_candidate_by_a_holder_is_added(
    command: Command, run: Path, tmp_path: Path
) -> None:
    given = [
        "--role",
        "safety",
        "--decision",
        "approve",
        "--comment",
        "Read.",
        "--answer",
        f"{QUESTION}=All.",
    ]
    signed = tmp_path / "ann.json"
    assert command("review", run, *given, "--key", "ann", "--to", signed).code == 0
    statement = open_entry(signed.read_bytes(), "here").statement

    def refused(data: bytes) -> str:
        (tmp_path / "other.json").write_bytes(data)
        code, out, err = command("review", run, "--add", tmp_path / "other.json")
        assert (code, out) == (2, "")
        return err

    def changed(key: str = "ann", subjects: dict[str, str] | None = None, **body: Any) -> bytes:
        return seal(replace(statement, subjects=subjects or statement.subjects, body={**statement.body, **body}), [load_key(key)])  # fmt: skip

    assert "[entry.malformed]" in refused(b"{}")
    assert "[review.other]" in refused(changed(run="another"))
    assert "[review.signature]" in refused(changed("operator"))
    assert "[review.candidate]" in refused(changed(subjects={"bundle.json": "0" * 64}))
    assert "[review.seen]" in refused(changed(seen={"root": "0" * 64, "size": 2}))
    assert "[ledger.clock]" in refused(changed(time="2020-01-31T00:00:00Z"))
    assert "[review.unreadable]" in command("review", run, "--add", tmp_path / "none").err
    assert command("review", run, "--add", signed).code == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--role", "legal", "--key", "ann", "--decision", "approve"], "review.role"),
        (["--role", "safety", "--key", "eve", "--decision", "approve"], "key.missing"),
        (["--role", "safety", "--key", "operator", "--decision", "approve"], "review.key"),
        (["--role", "safety", "--key", "ann", "--decision", "maybe"], "review.decision"),
        (["--role", "safety", "--key", "ann", "--decision", "approve"], "review.answer"),
        (["--role", "safety", "--key", "ann", "--decision", "approve", "--answer", "x=y"], "review.comment"),
        (["--decision", "approve"], "review.who"),
    ],
)
def test_a_review_that_says_too_little_is_refused(
    command: Command, run: Path, arguments: list[str], code: str
) -> None:
    ended = command("review", run, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert f"[{code}]" in ended.err
    assert not [e for _, e in open_ledger(run.parent).statements() if e.statement.kind == "review"]


def test_a_reviewer_sees_verdicts_trade_off_and_questions(command: Command, run: Path) -> None:
    sign(command, run, "ann", "dissent")
    code, out, err = command("review", run)
    assert code == 0
    assert "attack_success" in out
    assert "* bias         × 1 " in out
    assert f"asks: {QUESTION}" in out
    assert "safety dissent, until " in out
    assert err.startswith("next: trimtab review ")


def test_a_trial_says_so_everywhere(command: Command, trial: Path) -> None:
    for name in ("README.md", "VERIFY.md", "TRAINING_CONTENT.md"):
        assert "trial" in (trial / name).read_text()
    assert json.loads((trial / "bundle.json").read_text())["demo"] is True
    code, out, _ = command("verify", trial)
    assert code == 3
    assert "nobody reviewed this" in out


def test_roles_of_a_run_cannot_be_replaced_by_a_trial(command: Command, run: Path, tmp_path: Path) -> None:
    ended = command("release", run, "-o", tmp_path / "b", "--demo")
    assert "[release.demo]" in ended.err
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("text", ["", "broken", "broken:x:y:z", "broken:x:0:z", "broken:x:9999999:z"])
def test_a_waiver_needs_all_its_parts(command: Command, run: Path, tmp_path: Path, text: str) -> None:
    ended = command("release", run, "-o", tmp_path / "b", "--waive", text)
    assert "[waiver.form]" in ended.err
    assert "[waiver.empty]" in command("release", run, "-o", tmp_path / "b", "--waive", "broken: :3:z").err


CHARTER = """
name = "voted"
version = "1"
[[principle]]
id = "plain-words"
statement = "Answer in plain words."
rationale = "So that all understand."
dissent = [{ group = "B", statement = "s1", agreed = 3, disagreed = 9, seen = 12, reason = "Experts lose <b>detail</b>." }]
"""


def test_waivers_of_the_policy_and_dissent_show_everywhere(
    command: Command, finished_run: FinishedRun, tmp_path: Path
) -> None:
    (tmp_path / "c.toml").write_text(CHARTER)
    waivers = [{"gate": "broken", "reason": "Known.", "owner": "A. Owner", "expires": "2036-01-01T00:00:00Z"}]
    run = finished_run(tmp_path / "runs", waivers=waivers, charter=str(tmp_path / "c.toml"))
    told = "broken is waived by A. Owner until 2036-01-01T00:00:00Z: Known."
    assert f"waived: {told}" in command("review", run).out
    code, out, _ = command("release", run, "-o", tmp_path / "b", "--demo")
    assert code == 0
    assert "waived: broken inconclusive, by A. Owner in its policy, until 2036-01-01T00:00:00Z: Known." in out
    assert "waived: refusal_twins inconclusive, by nobody at its release, until " in out
    assert "dissent on plain-words: 9 of 12 in group B disagreed" in out
    assert f"waived: {told}" in command("status", run.parent).out
    card = (tmp_path / "b/README.md").read_text()
    assert f"Waived in the policy: {told}" in card
    assert (
        "Dissent on `plain-words`, group B: 9 of 12 disagreed, 3 agreed: Experts lose  b detail /b ." in card
    )
    assert (
        json.loads((tmp_path / "b/charter.json").read_bytes())["principle"][0]["dissent"][0]["group"] == "B"
    )


def test_a_waiver_that_ended_lets_nothing_pass(
    command: Command, finished_run: FinishedRun, tmp_path: Path
) -> None:
    waivers = [{"gate": "broken", "reason": "Known.", "owner": "A. Owner", "expires": "2020-01-01T00:00:00Z"}]
    run = finished_run(tmp_path / "runs", waivers=waivers)
    assert "[waiver.ended]" in command("release", run, "-o", tmp_path / "b", "--demo").err
    assert not (tmp_path / "b").exists()
    assert not [e for _, e in open_ledger(run.parent).statements() if e.statement.kind == "release"]


def test_waivers_of_a_release_end_with_the_next_of_the_same_files(
    command: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ann", "ben"):
        sign(command, run, name)
    command("release", run, "-o", tmp_path / "first", *waivers())
    longer = [text.replace(":30:", ":90:") for text in waivers()]
    command("release", run, "-o", tmp_path / "second", *longer)
    at = (datetime.now(UTC) + timedelta(days=60)).strftime("%Y-%m-%dT%H:%M:%SZ")
    (found,) = status(run.parent, at)
    assert (found.releases, [d for d in found.due if "waiver" in d]) == (2, [])
    assert len(found.waived) == len(longer) // 2


def test_an_unfinished_run_is_not_released(command: Command, run: Path, tmp_path: Path) -> None:
    (run / "figures.json").unlink()
    assert "[release.unfinished]" in command("release", run, "-o", tmp_path / "b").err
    assert "[release.no-run]" in command("release", tmp_path, "-o", tmp_path / "b").err


# --- Keys and roles ---------------------------------------------------------------------------------------------


def test_keys_are_for_their_owner_only(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no keys yet" in command("keys").err
    code, out, _ = command("keys", "new", "zoe")
    assert code == 0
    assert out == command("keys").out
    path = key_path("zoe")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "[key.exists]" in command("keys", "new", "zoe").err
    assert "[key.name]" in command("keys", "new", "../zoe").err
    path.chmod(0o644)
    with pytest.raises(ConfigError, match=r"key\.readable"):
        load_key("zoe")
    monkeypatch.setenv("TRIMTAB_PASSPHRASE", "long and secret")
    sealed = new_key("yan")
    assert load_key("yan").public == sealed.public
    monkeypatch.delenv("TRIMTAB_PASSPHRASE")
    with pytest.raises(ConfigError, match=r"key\.unreadable"):
        load_key("yan")


def signed_by(run: Path) -> list[str]:
    """Return kind and signers of the last entry of a run's ledger."""
    *_, (_, entry) = open_ledger(run.parent).statements()
    return [entry.statement.kind, *(k for k, _ in entry.signatures)]


def trust_of(folder: Path, *lines: str) -> Path:
    (folder / "trust").write_text("".join(f"{line}\n" for line in lines))
    return folder / "trust"


@pytest.mark.parametrize("role", ["operator", "ledger"])
def test_a_key_of_the_ledger_is_replaced_without_losing_what_it_signed(
    command: Command, run: Path, tmp_path: Path, role: str
) -> None:
    old = load_key(role)
    sign(command, run, "ann")
    code, out, _ = command("keys", "rotate", role, "--reason", "A year has passed.", "-w", run.parent)
    assert code == 0
    assert load_key(role).public.id != old.public.id
    assert load_key(f"{role}-{old.public.id[:8]}").public.raw == old.public.raw
    kind, *signers = signed_by(run)
    assert (kind, signers[-1]) == ("key", load_key(role).public.id)
    sign(command, run, "ben")
    assert command("release", run, "-o", tmp_path / "b", *waivers()).code == 0
    lines = [f"{r} {load_key(n).public}" for r, n in (("operator", "operator"), ("ledger", "ledger"), ("safety", "ann"), ("safety", "ben"))]  # fmt: skip
    trust = trust_of(tmp_path, *lines)
    assert verify(tmp_path / "b", Outside(read_trust(trust))).exit_code == 0
    assert not script.verify(tmp_path / "b", trust).failures
    # Another workspace still has the old key in force, which is found under its new name, and replaced there too.
    assert str(old.public.id) not in out


def test_a_key_is_replaced_in_every_ledger_where_it_is_in_force(
    command: Command, finished_run: FinishedRun, tmp_path: Path
) -> None:
    one, two = (finished_run(tmp_path / name).parent for name in ("one", "two"))
    old = load_key("operator")
    assert command("keys", "rotate", "operator", "--reason", "r", "-w", one).code == 0
    new = load_key("operator")
    assert open_ledger(two).operator.public.raw == old.public.raw
    assert open_ledger(one).operator.public.raw == new.public.raw
    assert command("keys", "rotate", "operator", "--reason", "r", "-w", two).code == 0
    assert open_ledger(two).operator.public.raw == new.public.raw == load_key("operator").public.raw


def test_a_process_that_holds_an_old_key_appends_nothing(command: Command, run: Path) -> None:
    from trimtab.governance.ledger.envelope import Statement

    ledger = open_ledger(run.parent)
    command("keys", "rotate", "operator", "--reason", "r", "-w", run.parent)
    with pytest.raises(InputError, match=r"ledger\.key-replaced"):
        ledger.append(Statement("recall", {}, {"kind": "record", "name": "x", "reason": "r"}))
    assert signed_by(run)[0] == "key"


def test_a_reviewer_with_a_new_key_is_one_reviewer(command: Command, run: Path, tmp_path: Path) -> None:
    sign(command, run, "ann")
    old = load_key("ann").public
    assert command("keys", "rotate", "ann", "--reason", "r", "-w", run.parent).code == 0
    assert signed_by(run) == ["key", old.id, load_key("ann").public.id]
    sign(command, run, "ann")
    assert "1 of 2 approvals" in command("release", run, "-o", tmp_path / "b", *waivers()).err
    assert "safety: 1 of 2 approvals" in command("status", run.parent).out
    assert "[review.key]" in sign(command, run, f"ann-{old.id[:8]}").err, "the old key signs nothing more"
    sign(command, run, "ben")
    assert command("release", run, "-o", tmp_path / "b", *waivers()).code == 0
    assert not script.verify(tmp_path / "b").failures


def test_approvals_of_a_revoked_key_do_not_count_and_rejections_do(
    command: Command, run: Path, tmp_path: Path
) -> None:
    sign(command, run, "ann", "reject")
    sign(command, run, "ben")
    ben = load_key("ben").public
    code, out, err = command("keys", "revoke", ben.id[:12], "--reason", "Stolen.", "-w", run.parent)
    assert code == 0
    assert "is revoked" in out
    assert str(run.parent / RECALLS) in err
    assert "[review.key]" in sign(command, run, "ben").err
    assert "safety: 0 of 2 approvals" in command("status", run.parent).out
    command("keys", "revoke", "ann", "--reason", "Stolen.", "-w", run.parent)
    ended = command("release", run, "-o", tmp_path / "b", *waivers())
    assert "[review.rejected]" in ended.err
    assert "0 of 2 approvals" in ended.err


def test_a_key_that_is_revoked_after_the_release_is_told_by_the_recall_file(
    command: Command, run: Path, tmp_path: Path
) -> None:
    sign(command, run, "ann")
    sign(command, run, "ben")
    assert command("release", run, "-o", tmp_path / "b", *waivers()).code == 0
    command("keys", "revoke", "ann", "--reason", "Stolen.", "-w", run.parent)
    recalls = run.parent / RECALLS
    report = verify(tmp_path / "b", Outside(recalls=read_recalls(recalls)))
    assert report.codes == {"key.revoked"}
    assert "which is revoked: Stolen." in report.failures[0].message
    found = script.verify(tmp_path / "b", recalls=recalls)
    assert [code for code, _ in found.failures] == ["key.revoked"]
    assert not script.verify(tmp_path / "b").failures


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["rotate", "operator", "--reason", " "], "keys.reason"),
        (["rotate", "zoe", "--reason", "r"], "keys.not-held"),
        (["rotate", "nobody", "--reason", "r"], "key.missing"),
        (["revoke", "zoe", "--reason", "r"], "keys.unknown"),
        (["revoke", "operator", "--reason", "r"], "keys.unknown"),
        (["revoke", "ann", "--reason", ""], "keys.reason"),
    ],
)
def test_a_change_of_keys_that_means_nothing_is_refused(
    command: Command, run: Path, arguments: list[str], code: str
) -> None:
    new_key("zoe")
    before = list(open_ledger(run.parent).statements())
    ended = command("keys", *arguments, "-w", run.parent)
    assert (ended.code, ended.out) == (2, "")
    assert f"[{code}]" in ended.err
    assert list(open_ledger(run.parent).statements()) == before


def test_a_key_that_is_gone_holds_no_role_of_a_new_run(
    command: Command, run: Path, finished_run: FinishedRun
) -> None:
    gone = str(load_key("ann").public)
    command("keys", "revoke", "ann", "--reason", "r", "-w", run.parent)
    with pytest.raises(ConfigError, match=r"roles\.key-gone"):
        finished_run(run.parent, (Role(name="safety", keys=(gone,)),))
    assert "[keys.no-ledger]" in command("keys", "rotate", "operator", "--reason", "r", "-w", run).err


def test_a_second_that_passes_while_a_ledger_opens_is_no_clock_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trimtab.governance.ledger import ledger as module
    from trimtab.governance.ledger.envelope import Statement

    seconds = iter(range(10, 60))
    monkeypatch.setattr(module, "now", lambda: f"2026-01-31T00:00:{next(seconds)}Z")
    ledger = open_ledger(tmp_path)
    ledger.append(Statement("recall", {}, {"kind": "record", "name": "x", "reason": "r"}))
    times = [e.statement.body["time"] for _, e in ledger.statements()]
    assert times == sorted(times)


def test_a_ledger_takes_no_other_users_entries(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMTAB_CONFIG", str(tmp_path / "other"))
    with pytest.raises(InputError, match=r"ledger\.other-keys"):
        open_ledger(run.parent)


def test_one_key_one_role() -> None:
    ann, ben = (PublicKey(n, bytes([i] * 32)) for i, n in enumerate(("ann", "ben")))
    again = PublicKey("another-name", ann.raw)
    with pytest.raises(ConfigError, match=r"roles\.key-twice"):
        check_roles([Role(name="a", keys=(str(ann),)), Role(name="b", keys=(str(again),))], [])
    with pytest.raises(ConfigError, match=r"held by the operator too"):
        check_roles([Role(name="a", keys=(str(again),))], [ann])
    with pytest.raises(ConfigError, match=r"roles\.quorum"):
        check_roles([Role(name="a", quorum=2, keys=(str(ben),))], [])
    with pytest.raises(ConfigError, match=r"roles\.twice"):
        check_roles([Role(name="a", keys=(str(ann),)), Role(name="a", keys=(str(ben),))], [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x = 1",
        "[[role]]",
        '[[role]]\nname = "operator"\nkeys = ["k"]',
        '[[role]]\nname = "a"\nkeys = []',
        "[[",
    ],
)
def test_roles_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"roles\."):
        read_roles(tmp_path / "r.toml")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "trust.empty"),
        ("operator\n", "trust.line"),
        (f"a {PublicKey('k', bytes(32))}\nb {PublicKey('j', bytes(32))}\n", "trust.twice"),
    ],
)
def test_a_file_of_keys_that_says_nothing_is_refused(tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "t").write_text(text)
    with pytest.raises(ConfigError, match=code.replace(".", r"\.")):
        read_trust(tmp_path / "t")


# --- Trace and recall -------------------------------------------------------------------------------------------


def first_record(bundle: Path) -> str:
    return read_records(bundle / "records/bias.jsonl").records[0].id


def test_a_record_is_traced_both_ways(command: Command, trial: Path) -> None:
    workspace = trial.parent / "runs"
    code, out, _ = command("trace", first_record(trial), "-w", workspace)
    assert code == 0
    for text in ("from plan", "to   dataset", "to   adapter", "to   system", "to   release"):
        assert text in out, text
    row = json.loads(command("trace", trial, "-w", workspace, "--json").out)
    assert row["kind"] == "release"
    assert {n["kind"] for n in row["from"]} >= {"system", "adapter", "guard", "dataset", "record", "plan"}
    assert row["to"] == []
    assert "[trace.unknown]" in command("trace", "ffff0000", "-w", workspace).err
    assert "[catalogue.no-ledger]" in command("trace", "ffff0000", "-w", trial.parent).err


def test_the_catalogue_is_made_anew_from_the_ledger(trial: Path) -> None:
    workspace = trial.parent / "runs"
    with open_catalogue(workspace) as catalogue:
        known = catalogue.find("")
    for data in (b"", b"junk"):
        (workspace / CATALOGUE).write_bytes(data)
        with open_catalogue(workspace) as catalogue:
            assert catalogue.find("") == known
    path = next(workspace.glob("*_loop_*/stages/03_screen/bias.parquet"))
    path.write_bytes(path.read_bytes() + b"x")
    (workspace / CATALOGUE).unlink()
    with open_catalogue(workspace) as catalogue:
        assert catalogue.missing() == [(str(path), "is not what the ledger states")]


def test_a_workspace_that_can_only_be_read_is_read(trial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a copy on another machine: neither a lock nor a catalogue can be written there."""
    workspace = trial.parent / "runs"
    (workspace / CATALOGUE).unlink(missing_ok=True)
    (workspace / "ledger/.lock").unlink()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with open_catalogue(workspace) as catalogue:
        assert catalogue.find(first_record(trial))
    assert not (workspace / CATALOGUE).exists()
    assert not (workspace / "ledger/.lock").exists()


def test_a_damaged_catalogue_is_named(command: Command, trial: Path) -> None:
    workspace, record = trial.parent / "runs", first_record(trial)
    with open_catalogue(workspace) as catalogue:
        assert catalogue.find(record)
        page = catalogue.connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'node'").fetchone()[0]  # fmt: skip
    data = bytearray((workspace / CATALOGUE).read_bytes())
    data[4096 * (page - 1) : 4096 * page] = b"\xff" * 4096
    (workspace / CATALOGUE).write_bytes(data)
    ended = command("trace", record, "--workspace", workspace)
    assert (ended.code, "[catalogue.damaged]" in ended.err) == (2, True)
    (workspace / CATALOGUE).unlink()
    assert command("trace", record, "--workspace", workspace).code == 0


@pytest.mark.parametrize("kind", ["record", "adapter", "generator", "dataset"])
def test_what_descends_from_a_recalled_thing_is_named(command: Command, trial: Path, kind: str) -> None:
    workspace = trial.parent / "runs"
    with open_catalogue(workspace) as catalogue:
        names = {n.kind: n.id for n in catalogue.find("") if n.label != "the model of the run"}
        generator = next(n.id for n in catalogue.find("") if n.kind == "generator")
    name = {**names, "generator": generator, "record": first_record(trial)}[kind]
    if kind == "dataset":
        with open_catalogue(workspace) as catalogue:
            name = next(n.id for n in catalogue.find("") if n.kind == "dataset" and n.label.endswith("bias"))
    code, out, err = command("recall", kind, name, "--reason", "It quotes a person.", "-w", workspace)
    assert code == 0
    if kind in ("record", "adapter", "dataset"):
        assert "release" in out
    assert str(workspace / RECALLS) in err
    entries = read_recalls(workspace / RECALLS)
    assert entries[-1].statement.body["reason"] == "It quotes a person."
    found = verify(trial, Outside(recalls=entries))
    assert found.codes == {"recalled"}
    assert found.exit_code == 1
    assert any("recalls: known up to entry" in note for note in verify(trial).notes)
    found_by_script = script.verify(trial, recalls=workspace / RECALLS)
    assert {code for code, _ in found_by_script.failures} == {"recalled"}
    code, out, _ = command("verify", trial, "--recalls", workspace / RECALLS)
    assert code == 1
    assert "is recalled: It quotes a person." in out


def test_a_recall_by_somebody_else_is_named(
    trial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trimtab.governance.ledger.envelope import Statement, seal

    monkeypatch.setenv("TRIMTAB_CONFIG", str(tmp_path / "other"))
    body = {"kind": "record", "name": "x", "reason": "r", "time": "2026-01-31T00:00:00Z"}
    entry = seal(Statement("recall", {}, body), [new_key("eve")])
    assert verify(trial, Outside(recalls=[open_entry(entry, "here")])).codes == {"recalls.signer"}
    (tmp_path / "r").write_bytes(entry + b"\n")
    assert [code for code, _ in script.verify(trial, recalls=tmp_path / "r").failures] == ["recalls.signer"]


@pytest.mark.parametrize(
    ("kind", "name", "reason", "code"),
    [
        ("suite", "x", "r", "recall.kind"),
        ("record", "ffff0000", "r", "recall.unknown"),
        ("record", "", "r", "recall.unknown"),
        ("adapter", "ADAPTER", " ", "recall.reason"),
    ],
)
def test_a_recall_of_nothing_is_refused(trial: Path, kind: str, name: str, reason: str, code: str) -> None:
    workspace = trial.parent / "runs"
    with open_catalogue(workspace) as catalogue:
        adapter = next(n.id for n in catalogue.find("") if n.kind == "adapter")
    with pytest.raises(ConfigError, match=code.replace(".", r"\.")):
        recall(workspace, kind, adapter if name == "ADAPTER" else name, reason)
    assert not (workspace / RECALLS).exists()


@pytest.mark.parametrize("data", [b"{}\n", b"x", b"\xff\n"])
def test_a_recall_file_that_is_none_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "r").write_bytes(data)
    with pytest.raises(InputError):
        read_recalls(tmp_path / "r")
    with pytest.raises(ValueError, match=r"entry\.|not recalls"):
        script.read_recalls(tmp_path / "r")
    with pytest.raises(InputError, match=r"recalls\.unreadable"):
        read_recalls(tmp_path / "none")


# --- Documents --------------------------------------------------------------------------------------------------


def test_documents_say_what_the_evidence_says_and_what_a_person_must_add(trial: Path) -> None:
    card = (trial / "README.md").read_text()
    assert card.startswith("---\nlanguage: [en]\n")
    assert "| adversarial | 3 | sft | 3 | 0 | 0 |" in card
    assert "| bias | 1 | pair | 0 | 1 | 0 |" in card
    summary = (trial / "TRAINING_CONTENT.md").read_text()
    assert "Records trained on: 4, of them 3 synthetic, 1 human" in summary
    about = json.loads((trial / "croissant.json").read_text())
    assert [f["@id"] for f in about["distribution"]] == ["records/adversarial.jsonl", "records/bias.jsonl"]
    for name in ("README.md", "TRAINING_CONTENT.md", "croissant.json"):
        text = (trial / name).read_text()
        assert "o be filled in by a person" in text
        for claim in ("compliant", "certified", "unbiased", " safe", "robust"):
            assert claim not in text.lower()


def test_the_summary_counts_human_texts_that_were_mixed_in(trial: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trial, tmp_path / "copy")
    assert "human-written texts were trained on" not in training_content(Source(folder))
    about = {"records": 5, "anchor": {"share": 0.4, "source": "Python documentation"}}
    (folder / "stages/04_train/adversarial.json").write_text(json.dumps(about))
    kept = {"texts": 7, "answers": 5, "refusals": 3, "source": "Python documentation"}
    about = {"records": 3, "retention": kept}
    (folder / "stages/04_train/bias.json").write_text(json.dumps(about))
    told = training_content(Source(folder))
    assert (
        "7 human-written texts (Python documentation), 5 answers of the model itself and 3 refusals were read"
        in told
    )
    assert "loops were made" not in told, "a run of a version that made none"
    assert "Beside the adversarial records, 2 human-written texts were trained on (40 % of that set)" in told
    assert "The guard, a classifier beside the model, was fitted on prompts" in told
    about = {"records": 3, "retention": kept | {"loops": 0.03}}
    (folder / "stages/04_train/bias.json").write_text(json.dumps(about))
    assert "Of pieces of them loops were made" in training_content(Source(folder))


def test_generators_with_and_without_a_digest_are_named_in_the_metadata(trial: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trial, tmp_path / "copy")
    path = folder / "records/bias.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows += [{**rows[0], "lineage": {**rows[0]["lineage"], "generator": "people who wrote seeds"}}]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    about = json.loads(croissant(Source(folder)))
    named = [g.get("@id") or g["prov:label"] for g in about["prov:wasDerivedFrom"]]
    assert named == [f"urn:sha256:{'f' * 64}", "people who wrote seeds"]


def test_a_document_that_does_not_follow_from_the_evidence_is_named(
    finished_run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trimtab.governance import candidate
    from trimtab.governance.exports.documents import documents
    from trimtab.governance.release import release

    def better(folder: Path, *, demo: bool = False) -> dict[str, str]:
        found = documents(folder, demo=demo)
        return {**found, "README.md": found["README.md"].replace("| 3 | sft", "| 4 | sft")}

    monkeypatch.setattr(candidate, "documents", better)
    with pytest.raises(InputError, match=r"README\.md: line \d+ does not follow .*document\.differs"):
        release(finished_run(tmp_path / "runs"), tmp_path / "b", demo=True)


def test_a_run_without_records_of_a_mechanism_is_released(
    finished_run: FinishedRun, command: Command, tmp_path: Path
) -> None:
    def empty(run: RunDirectory) -> None:
        for stage in ("records", "screen"):
            (run.stage(stage).folder / "adversarial.parquet").unlink()

    run = finished_run(tmp_path / "runs", (), empty)
    assert command("release", run, "-o", tmp_path / "b", "--demo").code == 0
    assert (tmp_path / "b/records/adversarial.jsonl").read_bytes() == b""


# --- The card in a README that is there -------------------------------------------------------------------------


THEIRS = """---
license: mit
language: [de]
tags:
  - mine
  - 'synthetic'
---

# My data

Words of mine, 3 of 5.
"""


def test_a_card_is_merged_and_nothing_of_the_readers_is_lost(
    command: Command, trial: Path, tmp_path: Path
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(THEIRS)
    code, _, err = command("card", trial, readme)
    assert code == 0
    assert "language in its metadata is yours" in err
    text = readme.read_text()
    for line in THEIRS.splitlines():
        assert line in text
    assert (
        text.index("- 'synthetic'")
        < text.index("  - trimtab\n")
        < text.index("configs:")
        < text.index("# My data")
    )
    assert text.count("synthetic'") == 1
    assert "\n## Synthetic training records of a trimtab run\n" in text
    assert command("card", trial, readme).code == 0
    assert readme.read_text() == text, "merged again, it is the same"
    assert command("card", trial, readme, "--check").code == 0
    readme.write_text(text.replace("Words of mine, 3 of 5.", "Other words.\n\nMore."))
    assert command("card", trial, readme, "--check").code == 0
    changed = text.replace("| adversarial | 3 |", "| adversarial | 4 |")
    readme.write_text(changed)
    number = next(i for i, line in enumerate(changed.splitlines(), 1) if line.startswith("| adversarial | 4"))
    code, out, _ = command("card", trial, readme, "--check")
    assert code == 1
    assert f"line {number} does not follow from the bundle [card.differs]" in out
    assert command("card", trial, readme).code == 0
    assert readme.read_text() == text


def test_a_card_is_merged_into_no_file_and_into_one_of_windows(
    command: Command, trial: Path, tmp_path: Path
) -> None:
    readme = tmp_path / "new.md"
    assert command("card", trial, readme).code == 0
    assert readme.read_text().startswith("---\nlanguage: [en]\n")
    assert command("card", trial, readme, "--check").code == 0
    readme.write_bytes(b"# Title\r\n\r\nText.\r\n")
    assert command("card", trial, readme).code == 0
    data = readme.read_bytes()
    assert b"Text.\r\n" in data
    assert data.count(b"\n") == data.count(b"\r\n")
    assert command("card", trial, readme, "--check").code == 0


@pytest.mark.parametrize(
    ("theirs", "tags"),
    [
        ("tags: [mine]\n", "tags: [mine, synthetic, trimtab]\n"),
        ("tags: []\n", "tags: [synthetic, trimtab]\n"),
        ("tags: one\n", "tags: one\n"),
    ],
)
def test_tags_are_added_in_the_form_that_is_there(theirs: str, tags: str) -> None:
    from trimtab.governance.exports.merge import merge

    card = "---\ntags:\n- synthetic\n- trimtab\n---\n\n# Card\n"
    assert tags in merge(f"---\n{theirs}---\n", card, "here").text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"---\nlicense: mit\n", "card.metadata"),
        (b"<!-- trimtab: end -->", "card.marks"),
        (b"\xff", "card.unreadable"),
    ],
)
def test_a_readme_that_cannot_take_a_card_stays_as_it_is(
    command: Command, trial: Path, tmp_path: Path, text: bytes, code: str
) -> None:
    readme = tmp_path / "README.md"
    readme.write_bytes(text)
    ended = command("card", trial, readme)
    assert (ended.code, f"[{code}]" in ended.err) == (2, True)
    assert readme.read_bytes() == text
    assert "[card.unreadable]" in command("card", trial, tmp_path / "none", "--check").err
    readme.write_text("Mine.")
    assert "holds no card [card.differs]" in command("card", trial, readme, "--check").out
    (trial / "README.md").unlink()
    assert command("card", trial, readme).code == 1
    assert readme.read_text() == "Mine."
