"""What a run writes to the ledger: that it started and on which terms, what each stage came to, the verdict.

The ledger of a workspace lies beside its runs. It holds digests and salted roots only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rfc8785

from trimtab.governance.commitment import commit
from trimtab.governance.figures import figures_and_verdicts
from trimtab.governance.ledger.envelope import Statement
from trimtab.governance.ledger.keyring import keyring_in
from trimtab.governance.ledger.ledger import Ledger, open_ledger
from trimtab.governance.policy import gates_digest
from trimtab.governance.roles import check_roles, roles_statement
from trimtab.models.cache import file_digest
from trimtab.records.record import digest
from trimtab.records.write import write_bytes
from trimtab.run.config import charter_of
from trimtab.run.measure import reattack_cases, test_suites

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.run.config import RunConfig
    from trimtab.run.directory import RunDirectory
    from trimtab.suites.case import Case

EVIDENCE, SPLIT, FIGURES = "evidence", "test-split.jsonl", "figures.json"
KINDS = {
    "before": "probe",
    "records": "records",
    "screen": "screen",
    "train": "training",
    "trim": "trim",
    "after": "probe",
    "reattack": "probe",
}
# What of a run a stage makes outside its own folder.
ELSEWHERE = {"train": ("adapters/**/*", "guard/**/*"), "trim": ("system.json",)}


def started(run: RunDirectory, config: RunConfig, model: str) -> None:
    """State configuration, policy and charter, and commit to the test split, before anything is trained."""
    measured = test_suites(config.sizes, charter_of(config))
    suites: dict[str, Sequence[Case]] = {name: cases for name, (_, cases) in measured.items()}
    suites["reattack"] = reattack_cases(config.sizes)
    rows = [
        {"case": digest(c.model_dump(mode="json")), "cluster": c.cluster, "item": c.id, "suite": name}
        for name, cases in suites.items()
        for c in cases
    ]
    split = {"cases": len(rows), "root": commit(rows, run.folder / EVIDENCE / SPLIT)}
    body: dict[str, Any] = {
        "charter": run.about["charter_digest"],
        "config": run.about["config_digest"],
        "model": model,
        "policy": gates_digest(config.gates),
        "run": run.folder.name,
        "split": split,
        "version": run.about["version"],
    }
    ledger = _ledger(run)
    ledger.append(Statement("run-started", _digests(run.folder, ["run.json"]), body), once=True)
    if config.roles:
        own = [ledger.operator.public, ledger.notary.public]
        check_roles(config.roles, own, keyring_in(ledger.log).gone)
        ledger.append(roles_statement(config.roles, run.folder.name), once=True)


def stage_done(run: RunDirectory, name: str) -> None:
    """State what a stage made."""
    folder = run.stage(name).folder
    files = [p for pattern in ("*.json", "*.jsonl", "*.parquet") for p in folder.glob(pattern)]
    files += [p for pattern in ELSEWHERE.get(name, ()) for p in run.folder.glob(pattern) if p.is_file()]
    body: dict[str, Any] = {"run": run.folder.name, "stage": name}
    if name in ("records", "screen"):
        body["records"] = {m: _records(run, name, m) for m in run.about["config"]["mechanisms"]}
    if KINDS[name] == "probe":
        body["outcomes"] = {
            p.stem: len(run.stage(name).outcomes(p.stem)) for p in files if p.suffix == ".jsonl"
        }
    names = [p.relative_to(run.folder).as_posix() for p in files]
    _ledger(run).append(Statement(KINDS[name], _digests(run.folder, names), body), once=True)


def _records(run: RunDirectory, stage: str, mechanism: str) -> dict[str, Any]:
    # The ids leave out who wrote a record, and its cell: the whole row is committed to as well.
    made = [r.row() for r in run.stage(stage).records(mechanism)]
    rows = [{"id": r["id"], "lineage_id": r["lineage_id"], "row": digest(r)} for r in made]
    root = commit(rows, run.folder / EVIDENCE / f"{stage}-{mechanism}.jsonl")
    return {"count": len(rows), "root": root}


def verdict(run: RunDirectory, config: RunConfig) -> None:
    """Write `figures.json` and state the verdict, a failed one too."""
    before, after = run.stage("before").outcomes(), run.stage("after").outcomes()
    found = figures_and_verdicts(before, after, config.gates)
    write_bytes(run.folder / FIGURES, rfc8785.dumps(found))
    gates = {v["gate"]["figure"]: v["outcome"] for v in found["verdicts"]}
    body = {"gates": gates, "outcome": found["outcome"], "run": run.folder.name}
    _ledger(run).append(Statement("verdict", _digests(run.folder, [FIGURES]), body), once=True)


def _ledger(run: RunDirectory) -> Ledger:
    return open_ledger(run.folder.parent)


def _digests(folder: Path, names: list[str]) -> dict[str, str]:
    return {name: file_digest(folder / name) for name in names}
