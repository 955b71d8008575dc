"""What the statements of a run claim, held against the bundle's files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import rfc8785

from trimtab.errors import TrimtabError
from trimtab.governance.commitment import salted_root
from trimtab.governance.ledger.envelope import Statement, canonical, is_time, strict
from trimtab.governance.ledger.note import parse_key
from trimtab.governance.roles import LONGEST
from trimtab.governance.verify.files import MANIFEST, MODEL_SIGNATURE, Manifest
from trimtab.governance.verify.log import CheckedLog
from trimtab.governance.verify.report import Finding, Report
from trimtab.governance.verify.reviews import check_reviews
from trimtab.models.cache import file_digest
from trimtab.probes.outcome import Outcome
from trimtab.records.record import Record
from trimtab.records.record import digest as digest_of

STAGES = {
    "before": "probe",
    "records": "records",
    "screen": "screen",
    "train": "training",
    "trim": "trim",
    "after": "probe",
    "reattack": "probe",
}
SPLIT, AGAIN = "evidence/test-split.jsonl", "reattack"
# Stage, or kind of what is no stage → the names of the files that its statement may have.
_MORE = {"train": r"|(adapters|guard)/.+", "trim": r"|system\.json"}
PLACES = {
    name: rf"stages/{n:02d}_{name}/[^/]+{_MORE.get(name, '')}" for n, name in enumerate(STAGES, start=1)
}
PLACES |= {"run-started": r"run\.json", "verdict": r"figures\.json", "roles": "", "bundle-key": ""}
# Files that must be stated, and those that no statement has: they follow from what is stated, or are checked by themselves.
NEEDED = ("run.json", "system.json", "figures.json", *(f"stages/{s}/outcomes.jsonl" for s in ("01_before", "06_after", "07_reattack")))  # fmt: skip
WRITTEN = ("policy.json", "charter.json", "README.md", "croissant.json", "TRAINING_CONTENT.md", "VERIFY.md", "verify.py", SPLIT)  # fmt: skip
SCORED = ("pair", "preference", "choice", "text")  # suites whose kind needs likelihoods
MENTIONS = "association"  # the suite that counts mentions, of which an answer may have none
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError, RecursionError, TrimtabError)  # fmt: skip
"""What reading a statement or file raises that is not shaped as it must be."""
OUTCOME = set(Outcome.__dataclass_fields__)
MOST_UNCOUNTED = 0.05  # of a suite's cases; figures of what is left would be of a choice that nobody made


class Claims:
    """The statements of one run; `at` is the time at which reviews and waivers must hold."""

    def __init__(self, folder: Path, manifest: Manifest, log: CheckedLog, report: Report, at: str) -> None:
        self.folder, self.manifest, self.log, self.report, self.at = folder, manifest, log, report, at
        self.candidate = {MANIFEST: file_digest(folder / MANIFEST)}
        every = enumerate(e.statement for e in log.entries)
        self.own = [(i, s) for i, s in every if s.body.get("run") == manifest.run]

    def of(self, kind: str) -> list[tuple[int, Statement]]:
        """Return index and statement of one kind."""
        return [(i, s) for i, s in self.own if s.kind == kind]

    @cached_property
    def released(self) -> list[tuple[int, Statement]]:
        """The last statement that releases this candidate: released again, it has the waivers of then."""
        return [(i, s) for i, s in self.of("release") if s.subjects == self.candidate][-1:]

    @property
    def bundle_key(self) -> str | None:
        """The key on P-256 that signs the whole bundle; None where it is not signed so."""
        stated = [s.body["key"] for _, s in self.of("bundle-key")]
        return str(stated[-1]) if stated else None

    @cached_property
    def policy_waivers(self) -> list[Any]:
        """The waivers that were written down before the run."""
        return list(self.told["run.json"]["config"].get("waivers") or ())

    @cached_property
    def told(self) -> dict[str, Any]:
        """Name → value of all files of JSON."""
        names = [name for name in self.manifest.files if name.endswith(".json")]
        return {name: strict((self.folder / name).read_bytes()) for name in names}

    def check(self, *, released: bool = True) -> None:
        """Check everything; with `released` False, as before the release is stated."""
        parts = [self.order, self.others, self.stages, self.terms, self.split, self.records, self.system]
        parts += [self.verdict, self.reviews, *([self.release, self.signature] if released else [])]
        for part in parts:
            try:
                part()
            except MALFORMED:
                message = "cannot be checked: a statement or file is not shaped as it must be"
                self.report.must(False, "claims.malformed", part.__name__, message)

    def release(self) -> None:
        """One statement releases this candidate."""
        must, run = self.report.must, self.manifest.run
        if must(len(self.released) == 1, "release.missing", run, "no statement releases these files"):
            same = self.released[0][1].body["demo"] == self.manifest.demo
            must(same, "release.demo", run, "was released as something else than it says")

    def signature(self) -> None:
        """The signature of the whole bundle is there where the ledger names its key, and only there."""
        must, there, name = self.report.must, (self.folder / MODEL_SIGNATURE).is_file(), MODEL_SIGNATURE
        what = "is not there, and the ledger has its key"
        must(there or self.bundle_key is None, "model-signature.missing", name, what)
        what = "is by a key that the ledger does not name"
        must(self.bundle_key is not None or not there, "model-signature.key", name, what)

    def order(self) -> None:
        """The run states its terms once and first; roles come before training."""
        must, run, started = self.report.must, self.manifest.run, self.of("run-started")
        if must(len(started) == 1, "run.not-started", run, "the run does not state its terms once"):
            must(self.own[0][0] == started[0][0], "run.order", run, "something came before the run's terms")
        roles = self.of("roles")
        if must(len(roles) == 1, "roles.missing", run, "the roles of reviewers are not fixed once"):
            index, statement = roles[0]
            place, demo = f"entry {index}", self.manifest.demo
            stated = statement.body["roles"]
            good = all(1 <= r["quorum"] <= len(r["keys"]) and 1 <= r["days"] <= LONGEST for r in stated)
            what = "a release needs roles, each of its own name and with a quorum of its keys"
            must(good and 0 < len({r["name"] for r in stated}) == len(stated), "roles.missing", run, what)
            must(
                statement.body["demo"] == demo,
                "release.demo",
                run,
                "a trial's roles, or a trial without them",
            )
            late = any(i < index for i, _ in self.of("training"))
            must(demo or not late, "roles.late", place, "roles were fixed after training")
            keys = [parse_key(k, place).raw for role in statement.body["roles"] for k in role["keys"]]
            keys += [key.raw for key in self.log.keys.values()]
            must(len(set(keys)) == len(keys), "roles.key-twice", place, "one key holds two roles")

    def others(self) -> None:
        """Say what other runs the ledger has: of many, the best may have been chosen."""
        came_to: dict[str, str] = {}
        for statement in (e.statement for e in self.log.entries):
            run = statement.body.get("run", self.manifest.run)
            if run != self.manifest.run:
                known = came_to.get(run, "no verdict")
                came_to[run] = statement.body["outcome"] if statement.kind == "verdict" else known
        told = ", ".join(f"{n} {outcome}" for outcome, n in sorted(Counter(came_to.values()).items()))
        self.report.notes.append(f"other runs in this ledger: {told or 'none'}")
        if self.manifest.demo:
            self.report.notes.append("a trial: its maker holds the keys of all reviewers")

    def stages(self) -> None:
        """Every stage is stated once, in order, its files are in the bundle as stated, and no others are."""
        last = -1
        for name, kind in {**STAGES, "": "verdict"}.items():
            found = [i for i, s in self.of(kind) if s.body.get("stage", "") == name]
            place = name or kind
            if not found:
                self.report.must(False, "stage.missing", place, "is not stated")
            elif self.report.must(len(found) == 1, "stage.repeated", place, "was done more than once"):
                self.report.must(found[0] > last, "stage.order", place, "came before the stage before it")
                last = max(last, found[0])
        stated = {name for s in self._makers() for name in self._held(s)} | {*WRITTEN}
        for mechanism in [m for _, s in self.of("screen") for m in s.body["records"]]:
            stated |= {f"records/{mechanism}.jsonl", f"evidence/screen-{mechanism}.jsonl"}
        for name in (*self.manifest.files, *NEEDED):
            self.report.must(name in stated, "stage.unstated", name, "was made by no stage")

    def _makers(self) -> Iterator[Statement]:
        return (s for _, s in self.own if s.kind not in ("release", "review"))

    def _held(self, statement: Statement) -> Iterator[str]:
        """Yield the files of a statement that are in the bundle, and note what is missing, changed or not its own."""
        step = statement.body.get("stage", statement.kind)
        good = step in PLACES and STAGES.get(step, step) == statement.kind
        self.report.must(good, "stage.unknown", step, f"is no stage of the kind {statement.kind}")
        for name, digest in statement.subjects.items():
            good = bool(re.fullmatch(PLACES.get(step, ""), name))
            self.report.must(good, "stage.place", name, f"is stated by {step}, which does not make it")
            file = self.manifest.files.get(name)
            if file is None and statement.kind in ("records", "screen"):
                continue  # the tables: what was kept is in records/
            if self.report.must(file is not None, "stage.absent", name, "is stated and not in the bundle"):
                same = file is not None and file.sha256 == digest
                self.report.must(same, "stage.changed", name, "is not what the stage made")
            yield name

    def terms(self) -> None:
        """Policy and charter are those that the run started with."""
        body = self.of("run-started")[0][1].body
        for key in ("policy", "charter"):
            file = self.manifest.files.get(f"{key}.json")
            same = file is not None and file.sha256 == body[key]
            self.report.must(
                same, f"{key}.changed", f"{key}.json", "is not the one that the run started with"
            )

        about = self.told["run.json"]
        named = [about["config"]["gates"], about["config_digest"], about["charter_digest"], about["version"]]
        same = named == [self.told["policy.json"], body["config"], body["charter"], body["version"]]
        self.report.must(same, "run.changed", "run.json", "has other terms than the run started with")
        for principle in self.told["charter.json"]["principle"]:
            for vote in principle.get("dissent", ()):
                told = f"{vote['disagreed']} of {vote['seen']} in group {vote['group']} disagreed"
                self.report.notes.append(f"dissent on {principle['id']}: {told}")

    def split(self) -> None:
        """The outcomes are of all the cases that were committed to before training, and of no others."""
        must, body = self.report.must, self.of("run-started")[0][1].body["split"]
        rows = self._lines(SPLIT)
        same = salted_root(rows) == body["root"] and len(rows) == body["cases"]
        must(same, "split.root", SPLIT, "is not what was committed to before training")
        known: dict[str, dict[str, str]] = {}
        for row in rows:
            known.setdefault(row["suite"], {})[row["item"]] = row["cluster"]
        files = [(s, name) for _, s in self.of("probe") for name in s.subjects if name.endswith(".jsonl")]
        measured = {name: self._outcomes(statement, name, known) for statement, name in files}
        for statement, name in files:
            again = statement.body["stage"] == "reattack"
            absent = {s for s in known if (s == AGAIN) == again} - measured[name]
            # A model without likelihoods is measured on no suite that needs them, at any stage.
            unmeasured = {s for s in absent if s.startswith(SCORED)} - set().union(*measured.values())
            for suite in sorted(absent - unmeasured):
                must(False, "split.absent", name, f"{suite} was committed to and is not measured")

    def _outcomes(self, statement: Statement, name: str, known: dict[str, dict[str, str]]) -> set[str]:
        """Hold a file of outcomes against what was committed to, and return the suites in it."""
        must, again = self.report.must, statement.body["stage"] == "reattack"
        rows = self._lines(name, strict)
        if not all(set(row) == OUTCOME and type(row["raw"]) is dict for row in rows):
            raise ValueError(f"{name}: a row is no outcome")
        count = statement.body["outcomes"].get(Path(name).stem)
        must(count == len(rows), "outcomes.count", name, f"holds {len(rows)} outcomes and not {count}")
        measured: dict[str, dict[str, str]] = {}
        for row in rows:
            measured.setdefault(AGAIN if again else row["suite"], {})[row["item"]] = row["cluster"]
        must(sum(map(len, measured.values())) == len(rows), "split.repeated", name, "a case is there twice")
        for suite, found in measured.items():
            cases = known.get(suite, {})
            must(found.keys() <= cases.keys(), "split.unknown", name, f"{suite}: a case was not committed to")
            missing = len(cases.keys() - found.keys())
            must(not missing, "split.incomplete", name, f"{suite}: {missing} cases are missing")
            same = all(found[item] == cases[item] for item in found.keys() & cases.keys())
            must(same, "split.cluster", name, f"{suite}: a case is in another cluster than committed to")
        self._uncounted(name, rows)
        return set(measured)

    def _uncounted(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Say how many cases have no value: they are in no figure, whatever else their rows hold."""
        for suite, n in Counter(row["suite"] for row in rows).items():
            missing = sum(row["suite"] == suite and _unanswered(row) for row in rows)
            told = f"{missing} of {n} cases of {suite} have no answer and are in no figure"
            if missing > MOST_UNCOUNTED * n:
                self.report.undecided.append(Finding("outcomes.uncounted", name, told))
            elif missing:
                self.report.notes.append(f"{name}: {told}")

    def _lines(self, name: str, read: Callable[[bytes], Any] | None = None) -> list[Any]:
        """Return what the lines of a listed file hold, as `read` or in canonical form; ValueError for one without an end."""
        if name not in self.manifest.files:
            raise ValueError(name)
        *lines, rest = (self.folder / name).read_bytes().split(b"\n")
        if rest:
            raise ValueError(f"{name}: its last line has no end, and is read by some")
        return [read(line) if read else canonical(line, name, "claims.malformed") for line in lines]

    def records(self) -> None:
        """The records are those that the screen kept, by id and lineage."""
        must = self.report.must
        for mechanism, stated in self.of("screen")[0][1].body["records"].items():
            name, opening = f"records/{mechanism}.jsonl", f"evidence/screen-{mechanism}.jsonl"
            rows, opened = self._lines(name), self._lines(opening)
            must(len(rows) == stated["count"], "records.count", name, f"holds {len(rows)} records")
            must(salted_root(opened) == stated["root"], "records.root", opening, "opens another commitment")
            ids = [(row["id"], row["lineage_id"]) for row in rows]
            same = ids == [(row["id"], row["lineage_id"]) for row in opened]
            must(same, "records.root", name, "holds other records than the screen kept")
            must(
                ids == [_identity(row) for row in rows], "records.id", name, "an id is not that of its record"
            )
            # Runs of older versions committed to ids alone, which leave out who wrote a record, and its cell.
            whole = [digest_of(row) for row in rows]
            same = [o.get("row", d) for o, d in zip(opened, whole, strict=False)] == whole
            must(same, "records.row", name, "holds a record of another source or cell than was kept")
            if not all("row" in o for o in opened):
                self.report.notes.append(f"{name}: source and cell of a record are as told, not committed to")

    def system(self) -> None:
        """The system is on the run's model, its parts are there, and each adapter learned from records that were kept."""
        must, system = self.report.must, self.told["system.json"]
        same = system["base_digest"] == self.of("run-started")[0][1].body["model"]
        must(same, "system.base", "system.json", "is of another model than the run started with")
        kept = self.of("screen")[0][1].body["records"]
        names = [name.split("/") for name in self.manifest.files]
        adapters = {parts[1] for parts in names if parts[0] == "adapters"}
        for mechanism in sorted(adapters | {f"trimtab_{m}" for m, _ in system["strengths"].items()}):
            part, digest = mechanism.removeprefix("trimtab_"), self._part(f"adapters/{mechanism}/adapter_")
            good = digest != "" and (part not in system["strengths"] or system["digests"].get(part) == digest)
            must(good, "system.parts", mechanism, "is not the adapter that the system has")
            told = kept.get(part, {"count": 0})["count"] > 0
            must(told, "system.parts", mechanism, "learned from records that the screen does not state")
        digest, tuned = self._part("guard/guard."), self._part("guard/encoder/adapter_")
        digest = digest_of([digest, tuned]) if tuned else digest
        good = digest != "" and system["digests"].get("guard") == digest
        must(good or not system["guard"], "system.parts", "guard", "is not the guard that the system has")

    def _part(self, start: str) -> str:
        """Return the digest of the files whose names begin so, as `models/cache.py` takes that of a folder; of none, nothing."""
        files = sorted((n, f.sha256) for n, f in self.manifest.files.items() if n.startswith(start))
        rows = "\n".join(f"{digest}  {name.split('/')[-1]}" for name, digest in files)
        return sha256(rows.encode()).hexdigest() if files else ""

    def verdict(self) -> None:
        """The verdict is that of the figures and gates; what did not pass was waived."""
        must, body = self.report.must, self.of("verdict")[0][1].body
        told, gates = self.told["figures.json"], self.told["policy.json"]
        stated = {v["gate"]["figure"]: v["outcome"] for v in told["verdicts"]}
        same = stated == body["gates"] and told["outcome"] == body["outcome"]
        must(same, "verdict.changed", "figures.json", "has another verdict than was stated")
        same = [v["gate"] for v in told["verdicts"]] == gates and len(stated) == len(gates)
        must(same, "verdict.gates", "figures.json", "has other gates than the policy, or two on one figure")
        some = any(gate["required"] for gate in gates)
        must(some, "gate.none", "policy.json", "requires no gate, so that nothing was decided")
        if self.released:
            waivers = {w["gate"]: w for w in self.released[0][1].body["waivers"]}
            for gate in gates:
                if gate["required"] and stated.get(gate["figure"]) != "pass":
                    self._waived(gate["figure"], str(stated.get(gate["figure"])), waivers)

    def _waived(self, gate: str, outcome: str, waivers: dict[str, Any]) -> None:
        must = self.report.must
        if not must(gate in waivers, "gate.not-passed", gate, f"{outcome}, and nobody waived it"):
            return
        waiver = waivers[gate]
        good = bool(waiver["reason"].strip() and waiver["owner"].strip() and is_time(waiver["expires"]))
        must(good, "waiver.empty", gate, "a waiver needs a reason, an owner and an expiry")
        where = "in its policy" if waiver in self.policy_waivers else "at its release"
        why = f"by {waiver['owner']} {where}, until {waiver['expires']}: {waiver['reason']}"
        self.report.notes.append(f"waived: {gate} {outcome}, {why}")
        if waiver["expires"] < self.at:
            self.report.due.append(Finding("waiver.due", gate, f"the waiver ended at {waiver['expires']}"))

    def reviews(self) -> None:
        """Each role has its quorum of approvals of this candidate; nobody's last word on the run is a rejection."""
        stop = self.released[0][0] if self.released else len(self.log.entries)
        roles = self.of("roles")[0][1].body["roles"]
        said = [(i, s) for i, s in self.of("review") if i < stop]
        check_reviews(self.log, roles, said, self.candidate, self.report, self.at)


def _unanswered(row: dict[str, Any]) -> bool:
    """Whether an outcome has no answer; one that mentions nobody is an answer, and has no value."""
    counts = row["value"] is not None or row["suite"].startswith(MENTIONS)
    return "error" in row["raw"] or not counts


def _identity(row: dict[str, Any]) -> tuple[str, str]:
    """Return id and lineage id of a record, made anew from its content; raises ValueError for what is none."""
    ids = {k: row[k] for k in ("id", "lineage_id")}
    record = Record.model_validate({k: v for k, v in row.items() if k not in ids})
    # A number that is written as text would be read as one.
    if rfc8785.dumps({**record.row(), **ids}) != rfc8785.dumps(row):
        raise ValueError("is not written as records are")
    return record.ids()
