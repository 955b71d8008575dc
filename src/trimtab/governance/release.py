"""Releases a run: its candidate, reviewed, stated in the ledger, and copied with the ledger into a bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from trimtab.errors import ConfigError, InputError, Problem
from trimtab.governance import model_signature
from trimtab.governance.candidate import build_candidate
from trimtab.governance.keys import load_key
from trimtab.governance.ledger.envelope import Statement
from trimtab.governance.ledger.ledger import Ledger, now, open_ledger
from trimtab.governance.ledger.tiles import CHECKPOINT, tile_path, tiles_of
from trimtab.governance.review import Opinion, roles_of, signed_review
from trimtab.governance.roles import Role, roles_statement
from trimtab.governance.verify.files import LEDGER, MANIFEST
from trimtab.governance.verify.report import Finding, Report
from trimtab.governance.verify.verify import verify
from trimtab.governance.waiver import Waiver, problems_of, waivers_of
from trimtab.records.write import write_bytes

DEMO_ROLES = ("safety", "fairness")
DEMO_DAYS = 7
FIX = {
    "review.quorum": "Let reviewers sign: trimtab review RUN --role ROLE --key KEY --decision approve --comment …",
    "gate.not-passed": "Waive it with a reason, an owner and an expiry (--waive, or waivers in trimtab.toml), or change the system.",
    "roles.missing": "Name roles in trimtab.toml before the run, or try it with --demo.",
}


def release(
    run: Path, bundle: Path, waivers: Sequence[Waiver] = (), *, demo: bool = False, sign: bool = True
) -> Report:
    """Write the bundle of a run and return what verifying it gave; `waivers` are on top of those of its policy.

    It is signed with model-signing too, where that is installed and `sign` is not False. Raises InputError where
    something keeps it from being released, with every reason; no release is stated then.
    """
    ledger = open_ledger(run.parent)
    with _whole(bundle) as folder:
        candidate = build_candidate(run, folder, demo=demo)
        given = {w.gate: w for w in [*waivers_of(_config(folder)), *waivers]}
        if problems := problems_of(given.values(), now()):
            raise ConfigError(problems)
        if demo:
            _try_out(ledger, run.name, candidate)
        copy_ledger(ledger, folder / LEDGER)
        before = verify(folder, released=False)
        failed = _not_passed(folder)
        if demo:
            given = {g: Waiver(g, "a trial", "nobody", _in_days(DEMO_DAYS)) for g in failed} | given
        _refuse(before, [g for g in failed if g not in given], bundle)
        rows = [w.to_json() for w in given.values()]
        body = {"demo": demo, "run": run.name, "waivers": rows}
        sign = sign and model_signature.can_sign()
        if sign:
            ledger.append(model_signature.key_statement(run.name))
        ledger.append(Statement("release", {MANIFEST: candidate}, body))
        copy_ledger(ledger, folder / LEDGER)
        if sign:
            model_signature.sign(folder)
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
    fixed = {role.name for role in roles_of(ledger.log, run)}
    if fixed - {f"trial-{name}" for name in DEMO_ROLES}:
        fix = "Release it without --demo, with the reviews of its roles."
        raise ConfigError(Problem("release.demo", run, "has roles of its own", fix))
    keys = [load_key(f"trial-{name}", make=True) for name in DEMO_ROLES]
    roles = [Role(name=k.public.name, days=DEMO_DAYS, keys=(str(k.public),)) for k in keys]
    if not fixed:
        ledger.append(roles_statement(roles, run, demo=True))
    for key, role in zip(keys, roles, strict=True):
        opinion = Opinion("approve", "a trial: nobody reviewed this", {})
        ledger.append_signed(signed_review(ledger.log, run, candidate, role=role, key=key, opinion=opinion))


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


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "run.json").read_bytes())["config"]
    return config


def _in_days(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def _whole(bundle: Path) -> Iterator[Path]:
    """Give a folder beside `bundle` that becomes it at the end, or nothing."""
    if bundle.exists():
        fix = "Name a folder that is not there yet."
        raise InputError(Problem("release.exists", str(bundle), "is there already", fix))
    part = bundle.with_name(f".{bundle.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    folder = part / bundle.name  # model-signing takes this name for the model's
    try:
        folder.mkdir(parents=True)
        yield folder
        folder.rename(bundle)
    except OSError as error:
        fix = "Choose another -o, or free space."
        raise InputError(Problem("release.refused", str(bundle), str(error), fix)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
