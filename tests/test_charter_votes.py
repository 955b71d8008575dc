"""Votes are read from Polis exports of several years and from plain ballots; what is wrong is told at once."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from trimtab.charter.read_votes import read_votes
from trimtab.charter.votes import Votes, moderated_in
from trimtab.errors import InputError

LOG = "timestamp,datetime,comment-id,voter-id,vote\n3,x,0,7,-1\n1,x,0,7,1\n2,x,10,7,0\n9,x,2,5,1\n"
COMMENTS = 'comment-id,agrees,disagrees,moderated,comment-body\n0,0,1,1,"First,\nwith a break"\n2,1,0,-1,Second\n10,0,0,0,Third\n'
MATRIX = (
    "participant,group-id,n-comments,n-votes,n-agree,n-disagree,0,2,10\n5,1,0,1,1,0,,1,\n7,0,0,2,0,1,-1,,0\n"
)


def written(folder: Path, **texts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def cells(votes: Votes) -> dict[tuple[str, str], int]:
    return {
        (votes.participants[r], votes.statements[c].id): int(v)
        for r, c, v in zip(votes.row, votes.column, votes.value, strict=True)
    }


WANTED = {("7", "0"): -1, ("7", "10"): 0, ("5", "2"): 1}


def test_of_a_log_the_last_vote_counts_and_participants_come_in_the_order_of_arrival(tmp_path: Path) -> None:
    votes = read_votes(written(tmp_path, votes=LOG) / "votes.csv")
    assert cells(votes) == WANTED
    assert votes.participants == ("7", "5")
    assert [s.id for s in votes.statements] == ["0", "2", "10"]
    assert votes.notes == ("1 votes were changed later; the last one counts",)


def test_a_matrix_and_a_log_are_the_same_votes(tmp_path: Path) -> None:
    votes = read_votes(written(tmp_path, matrix=MATRIX) / "matrix.csv")
    assert cells(votes) == WANTED
    assert votes.given == ("1", "0")


def test_a_folder_gives_texts_moderation_and_groups(tmp_path: Path) -> None:
    folder = written(tmp_path, votes=LOG, comments=COMMENTS, participants=MATRIX, summary="topic,x\nurl,y\n")
    votes = read_votes(folder)
    assert votes.statements[0].text == "First,\nwith a break"
    assert votes.given == ("0", "1")
    assert moderated_in(votes.statements).tolist() == [True, False, True]
    assert moderated_in(votes.statements, strict=True).tolist() == [True, False, False]


def test_exports_of_today_declare_their_sign_and_hold_more_tables(tmp_path: Path) -> None:
    declared = "# vote-convention: agree=+1;disagree=-1;pass=0;format=polis-export/1\n"
    log = "timestamp,datetime,comment-id,voter-id,vote,important\n3,x,0,7,-1,0\n2,x,10,7,0,\n9,x,2,5,1,1\n"
    folder = written(tmp_path, votes=declared + log)
    written(
        folder,
        **{
            "participant-votes": MATRIX,
            "participant-importance": "participant,group-id,n-votes,n-important,0\n5,1,1,1,1\n",
        },
    )
    written(folder, **{"comment-groups": "comment-id,comment,total-votes,group-a-votes\n0,x,1,1\n"})
    (folder / "format.json").write_text('{"format": "polis-export/1"}')
    votes = read_votes(folder)
    assert (cells(votes), votes.given) == (WANTED, ("0", "1"))
    (folder / "votes.csv").write_text("# vote-convention: agree=-1;disagree=+1;pass=0\n" + LOG)
    with pytest.raises(InputError, match=r"votes\.sign"):
        read_votes(folder / "votes.csv")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_what_spreadsheets_save_is_read(encoding: str, delimiter: str, tmp_path: Path) -> None:
    text = 'voter;"Ja, gern; immer";Größe\n1;1;-1\n2;0;\n'.replace(";", delimiter)
    text = text.replace(f"gern{delimiter}", "gern;")
    for path in (tmp_path / "b.csv", tmp_path / "b.csv.gz"):
        data = ("\ufeff" if encoding == "utf-16-le" else "") + text
        raw = data.encode(encoding)
        path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
        votes = read_votes(path)
        assert {s.id for s in votes.statements} == {"Ja, gern; immer", "Größe"}
        assert cells(votes)["1", "Größe"] == -1


def test_other_tables_of_a_folder_are_passed_over(tmp_path: Path) -> None:
    folder = written(
        tmp_path, a_votes=LOG, a_summary="topic,x\ndescription,one,two,three\n", note="what is this?\n"
    )
    (folder / "math.json").write_text("{}")
    (folder / "broken.csv").write_bytes(b"\xff\xfe")
    assert cells(read_votes(folder)) == WANTED


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tid", "pid"),
        ("statement_id", "participant_id"),
        ("Comment ID", "Voter-Id"),
        ("comment-id", "voter-id"),
    ],
)
def test_columns_go_by_the_names_of_several_years(one: str, other: str, tmp_path: Path) -> None:
    text = LOG.replace("comment-id", one).replace("voter-id", other)
    assert cells(read_votes(written(tmp_path, v=text) / "v.csv")) == WANTED


def test_json_and_gzip_are_read(tmp_path: Path) -> None:
    rows = [
        {"tid": 0, "pid": 7, "vote": -1, "modified": 3.0}, {"tid": 0, "pid": 7, "vote": 1, "modified": 1.0},
        {"tid": 10, "pid": 7, "vote": 0, "modified": 2.0}, {"tid": 2, "pid": 5, "vote": 1, "modified": 9.0},
    ]  # fmt: skip
    path = tmp_path / "votes.json.gz"
    path.write_bytes(gzip.compress(json.dumps(rows).encode()))
    assert cells(read_votes(path)) == WANTED
    zipped = tmp_path / "votes.csv.gz"
    zipped.write_bytes(gzip.compress(LOG.encode()))
    assert cells(read_votes(zipped)) == WANTED


def test_votes_with_the_sign_of_the_api_are_refused(tmp_path: Path) -> None:
    turned = "comment-id,voter-id,vote\n0,1,-1\n0,2,-1\n2,1,1\n"
    comments = "comment-id,agrees,disagrees,comment-body\n0,2,0,a\n2,0,1,b\n"
    with pytest.raises(InputError, match="other sign") as caught:
        read_votes(written(tmp_path, votes=turned, comments=comments))
    assert caught.value.problems[0].code == "votes.sign"


def test_counts_that_differ_are_noted(tmp_path: Path) -> None:
    comments = COMMENTS.replace("2,1,0,-1", "2,5,0,-1").replace("10,0,0,0,Third\n", "")
    votes = read_votes(written(tmp_path, votes=LOG, comments=comments))
    assert any("another number of agreements" in n for n in votes.notes)
    assert any("1 statements that were voted on are not among" in n for n in votes.notes)


PEOPLE = "participant,group-id,n-votes,n-agree,n-disagree,0,2,10\n5,1.0,1,1,0,,1,\n7,NA,2,0,1,-1,,0\n"


def test_a_folder_that_spreadsheets_saved_is_the_same(tmp_path: Path) -> None:
    """In Windows-1252, with empty columns and rows, ids and moderation as decimals, endings in capitals."""
    log = "sep=;\n" + LOG.replace(",10,", ",10.0,").replace(",", ";") + ";;;;\n;;;;\n"
    comments = COMMENTS.replace("2,1,0,-1,Second", "2.0,1.0,0.0,-1.0,Größe").replace("10,0,0,0", "10,0,0,")
    rows = [line if line.endswith('"First,') else f"{line},," for line in comments.splitlines()]
    (tmp_path / "VOTES.CSV").write_text(log)
    (tmp_path / "comments.csv").write_bytes("\n".join(rows).encode("cp1252"))
    (tmp_path / "participants.tsv").write_text(PEOPLE.replace(",", "\t"))
    votes = read_votes(tmp_path)
    assert cells(votes) == WANTED
    assert votes.given == ("", "1")
    assert [s.text for s in votes.statements][1:] == ["Größe", "Third"]
    assert moderated_in(votes.statements).tolist() == [True, False, True]
    assert any("comments.csv is read as Windows-1252" in n for n in votes.notes)
    assert any("VOTES.CSV: 2 rows are empty" in n for n in votes.notes)


def test_a_table_that_is_looked_for_and_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    folder = written(tmp_path, votes=LOG, participants=MATRIX, comments="comment-id,comment-id\n0,1\n")
    with pytest.raises(InputError, match=r"names columns twice.*votes\.columns"):
        read_votes(folder)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("rejected", -1),
        ("-1.0", -1),
        ("\N{MINUS SIGN}1", -1),
        ("accepted", 1),
        ("unmoderated", 0),
        ("", 0),
        ("nan", 0),
    ],
)
def test_moderation_is_read_in_its_words(said: str, wanted: int, tmp_path: Path) -> None:
    text = f"comment-id,moderated,is-meta,comment\n0,1,yes,a\n2,{said},no,b\n10,1,1.0,c\n"
    votes = read_votes(written(tmp_path, votes=LOG, comments=text))
    assert [s.moderated for s in votes.statements] == [1, wanted, 1]
    assert [s.meta for s in votes.statements] == [True, False, True]
    assert [s.text for s in votes.statements] == ["a", "b", "c"]
    with pytest.raises(InputError, match=r"statement '2': 'perhaps' is no moderation.*votes\.moderated"):
        read_votes(written(tmp_path, comments=text.replace(f"2,{said},", "2,perhaps,")))


def test_signs_that_counts_contradict_are_refused(tmp_path: Path) -> None:
    turned = "participant,n-votes,n-agree,n-disagree,0,2\n5,2.0,2.0,0.0,-1,-1\n7,1,0,1,1,\n"
    with pytest.raises(InputError, match=r"other sign than n-agree.*votes\.sign"):
        read_votes(written(tmp_path, matrix=turned) / "matrix.csv")
    log = "comment-id,voter-id,vote\n0,1,-1\n0,2,-1\n"
    for comments in (
        "comment-id,agree,disagree,text\n0,2,0,a\n",
        "comment-id,agrees,disagrees,text\n0,2.0,0.0,a\n",
    ):
        with pytest.raises(InputError, match="other sign"):
            read_votes(written(tmp_path / comments[11:17].strip(","), votes=log, comments=comments))
    rows = [{"zid": 1, "tid": 0, "pid": 1, "vote": -1}]
    (tmp_path / "v.json").write_text(json.dumps(rows))
    with pytest.raises(InputError, match=r"no counts of comments are here to tell.*votes\.sign"):
        read_votes(tmp_path / "v.json")


API = "zid,tid,pid,vote\n1,0,5,-1\n1,2,5,-1\n1,0,7,1\n"
OWN = "participant,group-id,n-votes,n-agree,n-disagree,0,2\n5,0,2,{},{},{},1\n7,1,1,0,1,-1,\n"


def test_signs_are_told_by_the_counts_of_people_where_comments_do_not(tmp_path: Path) -> None:
    comments = "tid,txt\n0,a\n2,b\n"
    with pytest.raises(InputError, match="no counts of comments are here"):
        read_votes(written(tmp_path / "none", votes=API, comments=comments))
    with pytest.raises(InputError, match=r"other sign than n-agree and n-disagree of .*votes\.sign"):
        read_votes(written(tmp_path / "turned", votes=API, people=OWN.format(2, 0, 1)))
    agreed = API.replace("-1", "+").replace(",1\n", ",-1\n").replace("+", "1")
    votes = read_votes(written(tmp_path / "right", votes=agreed, people=OWN.format(2, 0, -1)))
    assert cells(votes) == {("5", "0"): 1, ("5", "2"): 1, ("7", "0"): -1}
    assert votes.given == ("0", "1")  # of the matrix beside a log the groups are read, whatever its cells


def test_rows_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the statement '2' has more than one row.*votes\.twice"):
        read_votes(written(tmp_path, votes=LOG, comments=COMMENTS + "2,0,0,1,Second\n"))
    people = "participant,group-id\n5,0\n7,1\n5,1\n"
    with pytest.raises(InputError, match=r"the participant '5' has more than one row.*votes\.twice"):
        read_votes(written(tmp_path / "groups", votes=LOG, people=people))


def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    written(tmp_path, votes=LOG)
    (tmp_path / "._votes.csv").write_bytes(b"\x00\x05\x16\x07\x81\x8d")  # what a Mac leaves beside its files
    assert cells(read_votes(tmp_path)) == WANTED


def test_columns_that_are_no_statements_are_told_by_the_counts(tmp_path: Path) -> None:
    text = "participant,n-votes,n-agree,n-disagree,cluster,0,2,wave\n5,1,1,0,0,,1,1\n7,1,0,1,1,-1,,1\n"
    votes = read_votes(written(tmp_path, m=text) / "m.csv")
    assert votes.given == ("0", "1")
    assert (
        "2 participants have more votes than their n-votes says: is each column a statement?" in votes.notes
    )


def test_dates_say_which_vote_is_the_last_and_a_note_where_they_cannot(tmp_path: Path) -> None:
    text = "datetime,comment-id,voter-id,vote\n2023-09-02T10:00:00Z,0,7,-1\n2023-09-01 09:00:00,0,7,1\n"
    assert cells(read_votes(written(tmp_path, v=text) / "v.csv")) == {("7", "0"): -1}
    votes = read_votes(written(tmp_path, v=text.replace("2023-09", "Sept")) / "v.csv")
    assert cells(votes) == {("7", "0"): 1}
    assert any("the times in 'datetime' cannot be read" in n for n in votes.notes)


def test_votes_of_nobody_are_not_counted_as_one_persons(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"2 votes name nobody in 'voter-id', the first in row 2.*votes\.nobody"
    ):
        read_votes(written(tmp_path, v="comment-id,voter-id,vote\n0,7,1\n0,,1\n2,NA,1\n") / "v.csv")


def test_a_matrix_without_counts_is_the_votes_where_there_are_only_comments_beside_it(tmp_path: Path) -> None:
    text = ",participant,group-id,0,2,10\n0,5,1,,1,\n1,7,0,-1,,0\n".replace(
        ",participant", "Unnamed: 0,participant"
    )
    votes = read_votes(written(tmp_path, people=text, comments=COMMENTS))
    assert (cells(votes), votes.given) == (WANTED, ("1", "0"))


@pytest.mark.parametrize(
    ("text", "kind", "wanted"),
    [
        ("voter,a,b\n1,1,0\n2,,1\n", "approval", {("1", "a"): 1, ("1", "b"): -1, ("2", "b"): 1}),
        ("a,b\nyes,no\n", "approval", {("1", "a"): 1, ("1", "b"): -1}),
        ("a,b\n1,-1\n,0\n", "opinions", {("1", "a"): 1, ("1", "b"): -1, ("2", "b"): 0}),
        ("a,b\nagree,pass\n", "opinions", {("1", "a"): 1, ("1", "b"): 0}),
        ("a,b,c\n2,1,\n", "ranking", {("1", "a"): -2, ("1", "b"): -1, ("1", "c"): -(10**6)}),
        ("count,ranking\n3,b > a = c\n", "ranking", {("1", "b"): -1, ("1", "a"): -2, ("1", "c"): -2}),
        ("voter,Choice 2,Choice 1,3rd choice\nv,b c,a > d,\n", "ranking",
         {("v", "a > d"): -1, ("v", "b c"): -2}),
        ("choice 1,choice 2\n2,1\n", "ranking", {("1", "choice 1"): -2, ("1", "choice 2"): -1}),
        ("rank 1,rank 2,rank 3\n12.0,7,\n", "ranking", {("1", "12"): -1, ("1", "7"): -2}),
        ("approved\na;b\nb\n", "approval",
         {("1", "a"): 1, ("1", "b"): 1, ("2", "a"): -1, ("2", "b"): 1}),
    ],
)  # fmt: skip
def test_ballots_are_what_their_cells_hold(
    text: str, kind: str, wanted: dict[tuple[str, str], int], tmp_path: Path
) -> None:
    votes = read_votes(written(tmp_path, ballots=text) / "ballots.csv")
    assert (votes.kind, cells(votes)) == (kind, wanted)


def test_what_a_survey_asks_beside_votes_is_no_statement(tmp_path: Path) -> None:
    text = (
        ",Response ID,Age,Country,Be kind,Be open,Nobody\n"
        "1,r1,34,FR,Strongly agree,Don’t know,\n2,r2,61,DE,tend to disagree,Agree,NA\n3,r3,,FR,\N{MINUS SIGN}1,neither,\n"
    )
    votes = read_votes(written(tmp_path, b=text) / "b.csv")
    assert votes.participants == ("r1", "r2", "r3")
    assert [s.id for s in votes.statements] == ["Be kind", "Be open", "Nobody"]
    assert cells(votes) == {
        ("r1", "Be kind"): 1, ("r1", "Be open"): 0, ("r2", "Be kind"): -1, ("r2", "Be open"): 1,
        ("r3", "Be kind"): -1, ("r3", "Be open"): 0,
    }  # fmt: skip
    left, degrees = votes.notes
    assert left == "no statement, since no cell is a vote or the name is blank: '', 'Age', 'Country'"
    assert degrees == "degrees are not counted: 'strongly agree' counts as what it is without"
    with pytest.raises(InputError, match=r"'perhaps' is no vote.*votes\.value"):
        read_votes(written(tmp_path, b=text.replace("neither", "perhaps")) / "b.csv")


def test_lists_of_statements_say_what_they_leave_out_and_have_groups(tmp_path: Path) -> None:
    text = "voter,ranking,count\n1,a > b > c,2.0\n,,\n2,c,1\n3,,1\n"
    ranked = read_votes(written(tmp_path, r=text) / "r.csv")
    assert ranked.weights.tolist() == [2, 1, 1]
    assert ranked.notes == (
        "r.csv: 1 rows are empty, and left out",
        "1 ballots rank nothing; all statements are tied there",
        "5 statements without a place on a ballot count as last there",
    )
    text = "voter,group,approved\n1,x,a;b\n2,y,\n"
    approved = read_votes(written(tmp_path, a=text) / "a.csv")
    assert (approved.given, approved.notes) == (("x", "y"), ())


def test_numbers_that_are_places_or_statements_are_noted(tmp_path: Path) -> None:
    votes = read_votes(written(tmp_path, r="choice 1,choice 2\n2,1\n") / "r.csv")
    told = "the columns 'choice 1' and so on are read as statements, and their numbers as places"
    assert votes.notes == (told,)


def test_a_scale_is_not_taken_for_a_ranking(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"2 of 3 ballots skip places.*votes\.scale"):
        read_votes(written(tmp_path, b="a,b,c\n5,4,5\n1,2,3\n1,1,5\n") / "b.csv")
    told = read_votes(written(tmp_path, b="a,b,c\n1,1,3\n1,2,2\n2,3,4\n") / "b.csv")
    assert told.notes == ("1 of 3 ballots skip places; their order counts",)


def test_a_column_of_groups_is_no_statement(tmp_path: Path) -> None:
    for name in ("group-id", "group"):
        text = f"participant,{name},0,1\n5,1,1,-1\n7,0,0,1\n"
        votes = read_votes(written(tmp_path, b=text) / "b.csv")
        assert [s.id for s in votes.statements] == ["0", "1"]
        assert votes.given == ("1", "0")
        assert votes.kind == "opinions"
        assert any(f"'{name}' is read as people's groups" in n for n in votes.notes)


def test_a_matrix_without_counts_gives_a_log_its_groups(tmp_path: Path) -> None:
    folder = written(tmp_path, votes=LOG, people="participant,group-id,age\n5,1,old\n7,0,young\n")
    assert read_votes(folder).given == ("0", "1")


def test_approvals_that_never_say_no_are_not_all_approved(tmp_path: Path) -> None:
    votes = read_votes(written(tmp_path, b="a,b,c\nx,,x\n,,x\n") / "b.csv")
    assert votes.kind == "approval"
    assert [cells(votes)["1", s] for s in "abc"] == [1, -1, 1]
    assert [cells(votes)["2", s] for s in "abc"] == [-1, -1, 1]
    assert votes.notes == ("3 empty cells count as not approved, since no cell says no",)
    told = read_votes(
        written(tmp_path, b="a,b\nx,no\n,x\n") / "b.csv"
    )  # where one says no, empty is not seen
    assert (("2", "a") in cells(told), told.notes) == (False, ())


def test_ballots_weigh_what_they_stand_for(tmp_path: Path) -> None:
    votes = read_votes(written(tmp_path, b="count,ranking\n3,a>b\n2,b>a\n") / "b.csv")
    assert np.array_equal(votes.weights, [3, 2])


@pytest.mark.parametrize(
    ("text", "code", "n"),
    [
        ("", "votes.empty", 1),
        ("comment-id,voter-id,vote\n", "votes.empty", 1),
        ("comment-id,voter-id,vote\n0,1,2\n0,2,1\n0,3,\x1b[2J\n", "votes.value", 2),
        ("comment-id,voter-id,vote\n0,1\n0,2,1,1\n", "votes.cells", 2),
        ("a,a\n1,0\n", "votes.columns", 1),
        ("voter\n1\n", "votes.columns", 1),
        ("a,b\n1,7\nx,1\n", "votes.value", 1),
        ("ranking\na>a\n", "votes.twice", 1),
        ("ranking\n>\n", "votes.empty", 1),
        ("count,ranking\n0,a>b\n-1,a>b\n" + "9" * 400 + ",a>b\n", "votes.count", 3),
        ("comment-id,comment-body\n1,x\n", "votes.none", 1),
        ("who,statement,vote\nann,open,agree\nbob,open,disagree\n", "votes.columns", 1),
        ("participant,n-votes,0\n1,1,1\n1,1,1\n", "votes.twice", 1),
        ("voter,a\n1,1\n1,0\n", "votes.twice", 1),
        ("a,b\nmaybe,perhaps\n", "votes.columns", 1),
        ("a,b\n\x81\xff,1\n", "votes.csv", 1),
    ],
)
def test_what_is_wrong_is_told_at_once(text: str, code: str, n: int, tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as caught:
        read_votes(path)
    assert [p.code for p in caught.value.problems] == [code] * n
    assert all(p.place.startswith(str(path)) and p.fix for p in caught.value.problems)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "votes.json").write_text("{")
    for path, code in ((tmp_path / "none.csv", "votes.unreadable"), (tmp_path / "votes.json", "votes.json")):
        with pytest.raises(InputError) as caught:
            read_votes(path)
        assert caught.value.problems[0].code == code
    (tmp_path / "votes.json").unlink()
    with pytest.raises(InputError) as caught:
        read_votes(tmp_path)
    assert caught.value.problems[0].code == "votes.none"
    written(tmp_path, a=LOG, b=LOG)
    with pytest.raises(InputError) as caught:
        read_votes(tmp_path)
    assert caught.value.problems[0].code == "votes.which"


@pytest.mark.parametrize(
    "head", ["\n", " \n\n", "\u00a0\n", ",,,,\n", '"",\t\n', "\nsep=,\n\n", "\n# vote-convention: agree=+1\n"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_blank_lines_before_the_names_of_the_columns_are_read_past(
    tmp_path: Path, head: str, end: str, encoding: str
) -> None:
    text = (head + LOG).replace("\n", end).encode(encoding)
    (tmp_path / "votes.csv").write_bytes(text)
    assert cells(read_votes(tmp_path / "votes.csv")) == WANTED
    assert cells(read_votes(tmp_path)) == WANTED


@pytest.mark.parametrize("title", ["Export of May", "Export of May,,,,"])
def test_a_title_above_the_names_of_the_columns_is_one_problem(tmp_path: Path, title: str) -> None:
    (tmp_path / "votes.csv").write_text(f"{title}\n\n{LOG}")
    with pytest.raises(InputError, match=r"first line, 'Export of May', names one.*votes\.title") as caught:
        read_votes(tmp_path / "votes.csv")
    assert len(caught.value.problems) == 1


def test_a_file_of_blank_lines_holds_nothing(tmp_path: Path) -> None:
    for text in ("", "\n\n", " \r\n", ",,\n,,\n"):
        (tmp_path / "votes.csv").write_text(text)
        with pytest.raises(InputError, match=r"holds n.*votes\.empty"):
            read_votes(tmp_path / "votes.csv")
