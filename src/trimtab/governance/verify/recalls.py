"""Whether a bundle is reached by a recall: those in its own ledger, and those that the auditor brings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from trimtab.governance.keys import OPERATOR, Trust
from trimtab.governance.ledger.envelope import Entry, Statement
from trimtab.governance.verify.files import MANIFEST, Manifest
from trimtab.governance.verify.log import CheckedLog
from trimtab.governance.verify.report import Report
from trimtab.models.cache import file_digest


def check_recalls(  # noqa: PLR0917
    folder: Path,
    manifest: Manifest,
    log: CheckedLog,
    recalls: Sequence[Entry] | None,
    trust: Trust | None,
    report: Report,
) -> None:
    """Name what of the bundle is recalled, and by whom; say up to when recalls are known."""
    own = [e for e in log.entries if e.statement.kind == "recall"]
    signers = [*log.ring.ever[OPERATOR], *(trust.roles.get(OPERATOR, ()) if trust else ())]
    for number, entry in enumerate(recalls or (), start=1):
        good = len(entry.signatures) == 1 and any(entry.signed_by(key) for key in signers)
        report.must(
            good, "recalls.signer", f"recall {number}", "is not signed by an operator that is trusted"
        )
    if recalls is None:
        last = log.entries[-1].statement.body["time"]
        report.notes.append(f"recalls: known up to entry {len(log.entries)} of the ledger, {last}")
    else:
        last = max((e.statement.body["time"] for e in recalls), default="none")
        told = f"recalls: {len(recalls)} brought, the last of {last}; whether the file has all is not shown"
        report.notes.append(told)
    names = _names(folder, manifest) if own or recalls else set()
    for entry in log.entries:  # what it was made from too: tables of records that are not in the bundle
        if entry.statement.body.get("run") == manifest.run:
            names |= set(entry.statement.subjects.values())
    _check_revoked(manifest.run, log, [e.statement for e in recalls or ()], report)
    for entry in [*own, *(e for e in recalls or () if e.statement.kind == "recall")]:
        body = entry.statement.body
        reached = names & {body["name"], *entry.statement.subjects.values()}
        place = f"{body['kind']} {body['name'][:16]}"
        report.must(
            not reached, "recalled", place, f"is recalled: {body['reason']}; {len(reached)} parts are reached"
        )


def _check_revoked(run: str, log: CheckedLog, stated: Sequence[Statement], report: Report) -> None:
    """Name the reviews of a run whose key was revoked after it was released."""
    why = {s.body["key"]: s.body["reason"] for s in stated if s.kind == "revocation"}
    for entry in log.entries:
        if entry.statement.kind == "review" and entry.statement.body["run"] == run:
            signer, role = entry.signatures[0][0], entry.statement.body["role"]
            what = f"its review is by the key {signer[:16]}, which is revoked: {why.get(signer)}"
            report.must(signer not in why, "key.revoked", role, what)


def _names(folder: Path, manifest: Manifest) -> set[str]:
    """Return the digests and ids of everything in a bundle, and of what wrote its records."""
    found = {file.sha256 for file in manifest.files.values()} | {file_digest(folder / MANIFEST)}
    for name in manifest.files:
        if name.startswith("records/") and name.endswith(".jsonl"):
            for line in (folder / name).read_bytes().split(b"\n")[:-1]:
                row = json.loads(line)
                found |= {row["id"], row["lineage"]["generator"], *row["lineage"]["parents"]}
    return found - {None}
