"""Releases a run: its candidate, reviewed, stated in the ledger, and copied with the ledger into a bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trimtab.errors import ConfigError, InputError, Problem
from trimtab.governance.candidate import build_candidate
from trimtab.governance.keys import load_key
from trimtab.governance.ledger.envelope import TIME, Statement
from trimtab.governance.ledger.ledger import Ledger, open_ledger
from trimtab.governance.ledger.tiles import CHECKPOINT, tile_path, tiles_of
from trimtab.governance.review import Opinion, roles_of, state_review
from trimtab.governance.roles import Role, roles_statement
from trimtab.governance.verify.files import LEDGER, MANIFEST
from trimtab.governance.verify.report import Finding, Report
from trimtab.governance.verify.verify import verify
from trimtab.records.write import write_bytes

DEMO_ROLES = ("safety", "fairness")
DEMO_DAYS = 7
FIX = {
    "review.quorum": "Let reviewers sign: trimtab review RUN --role ROLE --key KEY --decision approve --comment …",
    "gate.not-passed": "Waive it with a reason, an owner and an expiry (--waive), or change the system.",
    "roles.missing": "Name roles in trimtab.toml before the run, or try it with --demo.",
}


@dataclass(frozen=True)
class Waiver:
    """A gate that did not pass and is let pass: why, who answers for it, until when."""

    gate: str
    reason: str
    owner: str
    expires: str


def release(run: Path, bundle: Path, waivers: Sequence[Waiver] = (), *, demo: bool = False) -> Report:
    """Write the bundle of a run and return what verifying it gave.

    Raises InputError where something keeps it from being released, with every reason; no release is stated then.
    """
    _check_waivers(waivers)
    ledger = open_ledger(run.parent)
    with _whole(bundle) as folder:
        candidate = build_candidate(run, folder, demo=demo)
        if demo:
            _try_out(ledger, run.name, candidate)
        copy_ledger(ledger, folder / LEDGER)
        before = verify(folder, released=False)
        failed = _not_passed(folder)
        if demo:
            waivers = [Waiver(g, "a trial", "nobody", _in_days(DEMO_DAYS)) for g in failed]
        _refuse(before, [g for g in failed if g not in {w.gate for w in waivers}], bundle)
        rows = [asdict(w) for w in waivers]
        body = {"demo": demo, "run": run.name, "waivers": rows}
        ledger.append(Statement("release", {MANIFEST: candidate}, body))
        copy_ledger(ledger, folder / LEDGER)
        report = verify(folder)
        _refuse(report, [], bundle)
    return report


def copy_ledger(ledger: Ledger, target: Path) -> None:
    """Copy checkpoint and tiles, all of one size."""
    shutil.rmtree(target, ignore_errors=True)
    with ledger.log.reading() as head:
        names = [CHECKPOINT, *(tile_path(*tile) for tile in tiles_of(head.size))]
        for name in names:
            write_bytes(target / name, (ledger.folder / name).read_bytes())


def _try_out(ledger: Ledger, run: str, candidate: str) -> None:
    """Fix roles with keys that were made for a trial, and let each approve."""
    fixed = {role.name for role in roles_of(ledger, run)}
    if fixed - {f"trial-{name}" for name in DEMO_ROLES}:
        fix = "Release it without --demo, with the reviews of its roles."
        raise ConfigError(Problem("release.demo", run, "has roles of its own", fix))
    keys = [load_key(f"trial-{name}", make=True) for name in DEMO_ROLES]
    roles = [Role(name=k.public.name, days=DEMO_DAYS, keys=(str(k.public),)) for k in keys]
    if not fixed:
        ledger.append(roles_statement(roles, run, demo=True))
    for key, role in zip(keys, roles, strict=True):
        opinion = Opinion("approve", "a trial: nobody reviewed this", {})
        state_review(ledger, run, candidate, role=role, key=key, opinion=opinion)


def _not_passed(folder: Path) -> list[str]:
    told = json.loads((folder / "figures.json").read_bytes())
    return [v["gate"]["figure"] for v in told["verdicts"] if v["gate"]["required"] and v["outcome"] != "pass"]


def _refuse(report: Report, failed: Sequence[str], bundle: Path) -> None:
    """Raise InputError with everything that keeps a candidate from being released."""
    found = [*report.failures, *(Finding("gate.not-passed", g, "did not pass") for g in failed)]
    found += [f for f in report.due if f.code == "review.due"]
    if found:
        fix = "Nothing was released."
        raise InputError(
            [Problem(f.code, f"{bundle}, {f.place}", f.message, FIX.get(f.code, fix)) for f in found]
        )


def _check_waivers(waivers: Sequence[Waiver]) -> None:
    problems = []
    for w in waivers:
        if not (w.reason.strip() and w.owner.strip() and TIME.fullmatch(w.expires)):
            fix = "Write GATE:OWNER:DAYS:REASON."
            problems.append(Problem("waiver.empty", w.gate, "needs a reason, an owner and an expiry", fix))
    if problems:
        raise ConfigError(problems)


def _in_days(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def _whole(bundle: Path) -> Iterator[Path]:
    """Give a folder beside `bundle` that becomes it at the end, or nothing."""
    if bundle.exists():
        fix = "Name a folder that is not there yet."
        raise InputError(Problem("release.exists", str(bundle), "is there already", fix))
    folder = bundle.with_name(f".{bundle.name}.part")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        yield folder
        folder.rename(bundle)
    except OSError as error:
        fix = "Choose another -o, or free space."
        raise InputError(Problem("release.refused", str(bundle), str(error), fix)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
