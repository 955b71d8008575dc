"""Verifies a bundle at the level *recomputed*: everything that follows from its files and from outcomes alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from trimtab import __version__
from trimtab.errors import ConfigError, InputError, Problem
from trimtab.governance import model_signature
from trimtab.governance.exports.documents import documents
from trimtab.governance.figures import figures_and_verdicts
from trimtab.governance.keys import Trust
from trimtab.governance.ledger.envelope import Entry
from trimtab.governance.ledger.ledger import now
from trimtab.governance.ledger.note import Signed, parse_checkpoint
from trimtab.governance.policy import Gate
from trimtab.governance.verify.claims import MALFORMED, Claims
from trimtab.governance.verify.files import LEDGER, check_files, check_links, read_manifest
from trimtab.governance.verify.log import CheckedLog, check_log, read_log
from trimtab.governance.verify.recalls import check_recalls
from trimtab.governance.verify.report import Finding, Report
from trimtab.governance.verify.witnesses import check_witnesses
from trimtab.probes.outcome import read_outcomes

TOLERANCE = 1e-9
"""Relative: libraries of statistics differ in the last digits from machine to machine."""


@dataclass(frozen=True)
class Outside:
    """What the auditor brings: trusted keys, a checkpoint seen before, the time to judge at, recalls.

    `stamped` is the time at which an authority saw the known checkpoint.
    """

    trust: Trust | None = None
    known: Signed | None = None
    at: str = ""
    recalls: Sequence[Entry] | None = None
    stamped: str = ""


def read_known(path: Path) -> Signed:
    """Read a checkpoint that the auditor kept; raises ConfigError where there is none."""
    try:
        return parse_checkpoint(path.read_bytes(), str(path))
    except (OSError, InputError) as error:
        fix = "Name a copy of ledger/checkpoint that was kept."
        raise ConfigError(
            Problem("known.unreadable", str(path), f"is no checkpoint ({error!s:.80})", fix)
        ) from error


def verify(folder: Path, outside: Outside | None = None, *, released: bool = True) -> Report:
    """Return what was found in a bundle; with `released` False, as before its release is stated.

    Raises InputError where `folder` is no folder at all.
    """
    outside = outside or Outside()
    if not folder.is_dir():
        fix = "Name the folder that `trimtab release` wrote."
        raise InputError(Problem("bundle.none", str(folder), "is not a folder", fix))
    report = Report(authenticated=outside.trust is not None)
    if not check_links(folder, report):
        return report
    manifest, ledger = read_manifest(folder, report), read_log(folder / LEDGER, report)
    if manifest and ledger:
        check_files(folder, manifest, ledger[2], report)
    log = check_log(ledger[0], ledger[1], report) if ledger else None
    if manifest is None or log is None:
        return report
    claims = Claims(folder, manifest, log, report, outside.at or now())
    claims.check(released=released)
    if not report.failures:
        with _possible("figure.differs", "figures.json", report):
            _check_figures(folder, report)
        with _possible("document.differs", "README.md and the others", report):
            _check_documents(folder, manifest.demo, report)
        if released:
            model_signature.check(folder, claims.bundle_key, report)
    if outside.trust:
        _check_trust(log, outside.trust, manifest.run, report)
    _check_known(log, outside, manifest.run, report)
    if not report.failures:
        check_recalls(folder, manifest, log, outside.recalls, outside.trust, report)
    return report


@contextmanager
def _possible(code: str, place: str, report: Report) -> Iterator[None]:
    """Note a failure where something cannot be made anew from what is in the bundle."""
    try:
        yield
    except MALFORMED as error:
        what = f"cannot be made from what is in the bundle ({type(error).__name__} {error!s:.80})"
        report.must(False, code, place, what)


def _check_figures(folder: Path, report: Report) -> None:
    """Compute every figure and verdict anew; a figure that differs is named by its field."""
    stored = {path: read_outcomes(path) for path in sorted((folder / "stages").glob("*/*.jsonl"))}
    before, after = (stored[folder / "stages" / s / "outcomes.jsonl"] for s in ("01_before", "06_after"))
    gates = [Gate.model_validate(row) for row in json.loads((folder / "policy.json").read_bytes())]
    again = figures_and_verdicts(before, after, gates)
    told = json.loads((folder / "figures.json").read_bytes())
    if field := _differs(told, json.loads(json.dumps(again))):
        report.must(False, "figure.differs", "figures.json", f"{field} does not follow from the outcomes")


def _check_documents(folder: Path, demo: bool, report: Report) -> None:
    """Write the documents anew, where this version wrote them; the first line that differs is named."""
    version = json.loads((folder / "run.json").read_bytes())["version"]
    if version != __version__:
        what = (
            f"were written by trimtab {version}, which can make them anew and compare; this is {__version__}"
        )
        report.undecided.append(Finding("document.version", "README.md and the others", what))
        return
    for name, again in documents(folder, demo=demo).items():
        data = (folder / name).read_bytes() if (folder / name).is_file() else b""
        told = data.decode(errors="surrogateescape").splitlines()
        lines = again.splitlines()
        pairs = zip_longest(told, lines)
        number = next((i for i, (a, b) in enumerate(pairs, start=1) if a != b), 0)
        wrong = "ends early" if number > len(told) else f"line {number} does not follow from the evidence"
        report.must(not number, "document.differs", name, wrong)


def _differs(told: Any, again: Any, path: str = "") -> str:
    """Return the first field in which two values differ; empty when none does."""
    if isinstance(told, dict) and isinstance(again, dict) and set(told) == set(again):
        pairs = [(f"{path}.{k}".lstrip("."), told[k], again[k]) for k in sorted(told)]
    elif isinstance(told, list) and isinstance(again, list) and len(told) == len(again):
        names = [v.get("figure", i) if isinstance(v, dict) else i for i, v in enumerate(told)]
        pairs = [(f"{path}.{n}", t, a) for n, t, a in zip(names, told, again, strict=True)]
    elif isinstance(told, int | float) and isinstance(again, int | float):
        return "" if math.isclose(told, again, rel_tol=TOLERANCE, abs_tol=1e-12) else path
    else:
        return "" if told == again and type(told) is type(again) else path or "the file"
    return next((found for name, t, a in pairs if (found := _differs(t, a, name))), "")


def _check_trust(log: CheckedLog, trust: Trust, run: str, report: Report) -> None:
    for role, key in log.keys.items():
        report.must(trust.has(role, key), f"trust.{role}", str(key), f"is not trusted as {role}")
    for entry in log.entries:
        body = entry.statement.body
        if entry.statement.kind == "review" and body["run"] == run:
            signer = entry.signatures[0][0]
            good = any(key.id == signer for key in trust.roles.get(body["role"], ()))
            report.must(
                good, "trust.reviewer", body["role"], f"the key {signer[:16]} is not trusted in this role"
            )


def _check_known(log: CheckedLog, outside: Outside, run: str, report: Report) -> None:
    """Hold the ledger against the checkpoint that the auditor saw, and say what that shows of the terms."""
    must, here, known = report.must, log.signed.checkpoint, outside.known
    if known is None:
        report.notes.append("roll back and fork: not checked, for want of a known checkpoint")
        report.notes.append("thresholds and test split fixed before training: as claimed")
        return
    seen = known.checkpoint
    if not must(seen.origin == here.origin, "known.origin", seen.origin, f"this ledger is {here.origin}"):
        return
    must(
        any(known.signed_by(k) for k in log.ring.ever["ledger"]),
        "known.signature",
        seen.origin,
        "is not this ledger's",
    )
    if not must(
        seen.size <= here.size, "known.rollback", here.origin, f"had {seen.size} entries, has {here.size}"
    ):
        return
    must(
        log.root_of(seen.size) == seen.root,
        "known.fork",
        here.origin,
        f"entries before {seen.size} were changed",
    )
    own = [(i, e.statement.kind) for i, e in enumerate(log.entries) if e.statement.body.get("run") == run]
    trained = next((i for i, kind in own if kind == "training"), 0)
    covered = bool(own) and own[0][0] < seen.size <= trained
    who = check_witnesses(log, known, outside.trust, outside.stamped, report)
    # Training is stated when it ends; what the run stated before it is of before it began.
    began = max((log.entries[i].statement.body["time"] for i, _ in own if i < trained), default="")
    dated = [f"{name} at {time}" for name, time in who.items() if time <= began]
    how = "as claimed"
    if covered:
        how += "; the known checkpoint holds them, which shows it to whoever kept it before training"
        how = f"witnessed by {', '.join(dated)}" if dated else how
    report.notes.append(f"thresholds and test split fixed before training: {how}")
