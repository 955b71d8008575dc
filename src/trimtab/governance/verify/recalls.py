"""Whether a bundle is reached by a recall: those in its own ledger, and those that the auditor brings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from trimtab.governance.keys import OPERATOR, Trust
from trimtab.governance.ledger.envelope import Entry
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
    signers = [log.keys["operator"], *(trust.roles.get(OPERATOR, ()) if trust else ())]
    for number, entry in enumerate(recalls or (), start=1):
        good = len(entry.signatures) == 1 and any(entry.signed_by(key) for key in signers)
        report.must(
            good, "recalls.signer", f"recall {number}", "is not signed by an operator that is trusted"
        )
    if recalls is None:
        last = log.entries[-1].statement.body["time"]
        report.notes.append(f"recalls: known up to entry {len(log.entries)} of the ledger, {last}")
    names = _names(folder, manifest) if own or recalls else set()
    for entry in [*own, *(recalls or ())]:
        body = entry.statement.body
        reached = names & {body["name"], *entry.statement.subjects.values()}
        place = f"{body['kind']} {body['name'][:16]}"
        report.must(
            not reached, "recalled", place, f"is recalled: {body['reason']}; {len(reached)} parts are reached"
        )


def _names(folder: Path, manifest: Manifest) -> set[str]:
    """Return the digests and ids of everything in a bundle, and of what wrote its records."""
    found = {file.sha256 for file in manifest.files.values()} | {file_digest(folder / MANIFEST)}
    for name in manifest.files:
        if name.startswith("records/") and name.endswith(".jsonl"):
            for line in (folder / name).read_bytes().splitlines():
                row = json.loads(line)
                found |= {row["id"], row["lineage"]["generator"] or "", *row["lineage"]["parents"]}
    return found
