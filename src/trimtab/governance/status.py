"""What a workspace waits for: quorums that are missing, reviews and waivers that ended, recalls, unreleased runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.governance.catalogue import open_catalogue
from trimtab.governance.ledger.envelope import Entry, Statement, open_entry
from trimtab.governance.ledger.keyring import Keyring, keyring_of
from trimtab.governance.ledger.ledger import FOLDER, now
from trimtab.governance.ledger.log import Log
from trimtab.governance.recall import Reached, reaching
from trimtab.governance.waiver import Waiver


@dataclass
class RunStatus:
    """One run of a ledger: its verdict, what it waits for, its releases, what is waived in them, what is due.

    `recalled` are the recalls that reach something of it, releases among that; `untraced` says which of its tables are not
    as stated, so that a recall of what was in them may reach more than is told.
    """

    run: str
    verdict: str = "unfinished"
    releases: int = 0
    waits: list[str] = field(default_factory=list)
    due: list[str] = field(default_factory=list)
    waived: list[str] = field(default_factory=list)
    recalled: list[Reached] = field(default_factory=list)
    untraced: list[str] = field(default_factory=list)


def status(workspace: Path, at: str = "") -> list[RunStatus]:
    """Return the state of every run in a workspace's ledger, oldest first; none where there is no ledger."""
    log = Log(workspace / FOLDER)
    entries = [open_entry(data, f"{log.folder}, entry {i}") for i, data in enumerate(log.entries())]
    runs: dict[str, list[Entry]] = {}
    for entry in entries:
        if run := entry.statement.body.get("run"):
            runs.setdefault(run, []).append(entry)
    ring = keyring_of((e.statement for e in entries), str(log.folder))
    found = [_status(run, own, ring, at or now()) for run, own in runs.items()]
    if any(e.statement.kind == "recall" for e in entries):
        _add_recalls(workspace, found, [e.statement for e in entries])
    return found


def _add_recalls(workspace: Path, found: Sequence[RunStatus], ledger: Sequence[Statement]) -> None:
    """Add the recalls to the runs that they reach, also runs that came later than the recall."""
    with open_catalogue(workspace) as catalogue:
        missing = catalogue.missing()
        for status_ in found:
            own = [s for s in ledger if s.body.get("run") == status_.run]
            things = [thing for s in own for thing in _things(s)]
            status_.recalled = reaching(ledger, things, catalogue.below)
            place = workspace / status_.run
            status_.untraced = [f"{path} {why}" for path, why in missing if Path(path).is_relative_to(place)]


def _things(statement: Statement) -> Iterator[tuple[str, str]]:
    """Yield digest and name of what a recall can reach of a run: its tables of records, adapters, guard, system, releases."""
    for name, digest in statement.subjects.items():
        path = Path(name)
        if statement.kind == "release":
            yield digest, f"release {digest[:16]}"
        elif statement.kind == "screen" and path.suffix == ".parquet":
            yield digest, f"dataset {path.stem}"
        elif path.name == "adapter_model.safetensors":
            yield digest, f"adapter {path.parent.name.removeprefix('trimtab_')}"
        elif name in ("system.json", "guard/guard.safetensors"):
            yield digest, path.stem


def _status(run: str, entries: Sequence[Entry], ring: Keyring, at: str) -> RunStatus:
    found = RunStatus(run)
    latest: dict[tuple[str, str], Statement] = {}
    roles: list[dict[str, int | str]] = []
    # By what was released: the same files released once more have the waivers of then.
    waivers: dict[str, list[Waiver]] = {}
    for entry in entries:
        statement = entry.statement
        if statement.kind == "verdict":
            found.verdict = statement.body["outcome"]
        elif statement.kind == "roles":
            roles = statement.body["roles"]
        elif statement.kind == "release":
            found.releases += 1
            waivers[statement.subjects["bundle.json"]] = [Waiver(**row) for row in statement.body["waivers"]]
        elif statement.kind == "review":
            signer = entry.signatures[0][0]
            if signer not in ring.revoked or statement.body["decision"] != "approve":
                latest[statement.body["role"], ring.holder(signer)] = statement
    for waiver in (w for released in waivers.values() for w in released):
        found.waived.append(str(waiver))
        if waiver.expires < at:
            found.due.append(f"the waiver of {waiver.gate} ended")
    for role in roles:
        own = [s.body for (name, _), s in latest.items() if name == role["name"]]
        approved = [b for b in own if b["decision"] == "approve"]
        valid = [b for b in approved if b["time"] <= at <= b["expires"]]
        if len(approved) < int(role["quorum"]):
            found.waits.append(f"{role['name']}: {len(approved)} of {role['quorum']} approvals")
        elif len(valid) < int(role["quorum"]):
            found.due.append(f"{role['name']}: {len(valid)} of {role['quorum']} reviews hold now")
        found.waits += [f"{role['name']}: rejected" for b in own if b["decision"] == "reject"]
    if not roles:
        found.waits.append("no roles were fixed: only a trial can be released")
    return found
