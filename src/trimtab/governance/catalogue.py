"""The catalogue: what descends from what, over all runs of a workspace, in SQLite.

It holds nothing of its own: it is made anew from ledger and runs whenever the ledger has grown. A table of
records counts only while it is the one that its run's ledger entry states.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.errors import ConfigError, Problem
from trimtab.governance.ledger.envelope import Statement, open_entry
from trimtab.governance.ledger.ledger import FOLDER
from trimtab.governance.ledger.log import Log
from trimtab.models.cache import file_digest
from trimtab.records.read import read_records

FILE = "catalogue.sqlite"
_SCHEMA = """
CREATE TABLE node (kind TEXT, id TEXT, label TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE edge (above TEXT, below TEXT, PRIMARY KEY (above, below)) WITHOUT ROWID;
CREATE INDEX edge_below ON edge (below);
CREATE TABLE missing (place TEXT, why TEXT);
CREATE TABLE built (entries INTEGER);
PRAGMA user_version = 2;
"""
_VERSION = 2  # of the edges above: a catalogue of another version is made anew
_WALK = """
WITH RECURSIVE found (id) AS (VALUES (?) UNION SELECT {to} FROM edge JOIN found ON {of} = found.id)
SELECT kind, node.id, label FROM node JOIN found USING (id) WHERE node.id != ? ORDER BY kind, label, node.id
"""


@dataclass(frozen=True)
class Node:
    """A thing in the catalogue: generator, plan (operator and cell), record, dataset, adapter, guard, system, release."""

    kind: str
    id: str
    label: str


class Catalogue:
    """Answers what is above a thing (what it comes from) and below it (what came of it)."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def find(self, name: str) -> list[Node]:
        """Return the things whose id begins with `name`, or whose label is `name`."""
        like = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        query = "SELECT kind, id, label FROM node WHERE id LIKE ? ESCAPE '\\' OR label = ? ORDER BY kind, id LIMIT 50"
        return [Node(*row) for row in self.connection.execute(query, (like, name))]

    def above(self, node: Node) -> list[Node]:
        """Return everything that a thing comes from."""
        return self._walk(node, to="above", of="below")

    def below(self, node: Node) -> list[Node]:
        """Return everything that came of a thing."""
        return self._walk(node, to="below", of="above")

    def missing(self) -> list[tuple[str, str]]:
        """Return what could not be read, and why: what descends from it is not known."""
        return list(self.connection.execute("SELECT place, why FROM missing"))

    def _walk(self, node: Node, *, to: str, of: str) -> list[Node]:
        rows = self.connection.execute(_WALK.format(to=to, of=of), (node.id, node.id))
        return [Node(*row) for row in rows]


@contextmanager
def open_catalogue(workspace: Path) -> Iterator[Catalogue]:
    """Give the catalogue of a workspace, made anew if its ledger has grown, in memory where it cannot be kept.

    Raises ConfigError where there is no ledger, and for a catalogue that is damaged.
    """
    path, size = workspace / FILE, Log(workspace / FOLDER).head().size
    if not size:
        fix = "Name a folder of runs with --workspace."
        raise ConfigError(Problem("catalogue.no-ledger", str(workspace), "has no ledger", fix))
    known, kept = _entries(path) == size, os.access(workspace, os.W_OK)
    if not known and kept:
        path.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(path if known or kept else ":memory:")) as connection:
            if not known:
                _build(connection, workspace, size)
            yield Catalogue(connection)
    except sqlite3.DatabaseError as error:
        fix = "Remove it: it is made anew from the ledger."
        raise ConfigError(
            Problem("catalogue.damaged", str(path), f"cannot be read ({error})", fix)
        ) from error


def _entries(path: Path) -> int:
    """Return how many entries of the ledger a catalogue knows; -1 for what is none."""
    if not path.exists():
        return -1
    try:
        with closing(sqlite3.connect(path)) as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                return -1
            return int(connection.execute("SELECT entries FROM built").fetchone()[0])
    except (sqlite3.DatabaseError, TypeError):
        return -1


def _build(connection: sqlite3.Connection, workspace: Path, size: int) -> None:
    connection.executescript(_SCHEMA)
    log = Log(workspace / FOLDER)
    for index, data in enumerate(log.entries()[:size]):
        statement = open_entry(data, f"{log.folder}, entry {index}").statement
        if adder := _ADDERS.get(statement.kind):
            adder(connection, workspace, statement)
    connection.execute("INSERT INTO built VALUES (?)", (size,))
    connection.commit()


def _node(connection: sqlite3.Connection, kind: str, id_: str, label: str, above: Sequence[str] = ()) -> None:
    connection.execute("INSERT OR IGNORE INTO node VALUES (?, ?, ?)", (kind, id_, label))
    connection.executemany("INSERT OR IGNORE INTO edge VALUES (?, ?)", [(a, id_) for a in above])


def _edge(connection: sqlite3.Connection, above: str, below: str) -> None:
    # Two runs can make the same adapter or system, whose node is the first one's: `below` may be a name that only a run has.
    connection.execute("INSERT OR IGNORE INTO edge VALUES (?, ?)", (above, below))


def _started(connection: sqlite3.Connection, workspace: Path, statement: Statement) -> None:
    _node(connection, "generator", statement.body["model"], "the model of the run")


def _screened(connection: sqlite3.Connection, workspace: Path, statement: Statement) -> None:
    """Add the records that a run kept, with their generators, plans and parents, as one dataset a mechanism."""
    run = statement.body["run"]
    for name, digest in statement.subjects.items():
        path = workspace / run / name
        if path.suffix != ".parquet":
            continue
        dataset = f"dataset {run}/{path.stem}"
        _node(connection, "dataset", digest, dataset)
        _edge(connection, digest, f"{run}/{path.stem}")
        if not path.is_file() or file_digest(path) != digest:
            why = "is gone" if not path.is_file() else "is not what the ledger states"
            connection.execute("INSERT INTO missing VALUES (?, ?)", (str(path), why))
            continue
        for record in read_records(path).records:
            lineage = record.lineage
            plan = f"plan {record.mechanism or path.stem}/{lineage.operator or 'none'}/{record.cell or 'all'}"
            above = [*lineage.parents, *([lineage.generator] if lineage.generator else []), plan]
            _node(connection, "plan", plan, plan)
            if lineage.generator:
                _node(connection, "generator", lineage.generator, "a model that wrote records")
            _node(connection, "record", record.id, f"{record.kind} {record.source}", above)
            _edge(connection, record.id, digest)


def _trained(connection: sqlite3.Connection, workspace: Path, statement: Statement) -> None:
    """Add adapters and guard, below the dataset of their mechanism."""
    run = statement.body["run"]
    for name, digest in statement.subjects.items():
        parts = Path(name).parts
        if name.endswith("adapter_model.safetensors") and parts[0] == "adapters":
            mechanism = parts[1].removeprefix("trimtab_")
            _node(connection, "adapter", digest, f"{run}/{mechanism}", [f"{run}/{mechanism}"])
            _node(connection, "mechanism", f"{run}/{mechanism}", f"mechanism {run}/{mechanism}")
        elif name == "guard/guard.safetensors":
            _node(connection, "guard", digest, f"{run}/guard")
        else:
            continue
        _edge(connection, digest, f"{run}/parts")


def _trimmed(connection: sqlite3.Connection, workspace: Path, statement: Statement) -> None:
    """Add the system of a run, below the adapters and guard that were trained in it."""
    run, digest = statement.body["run"], statement.subjects.get("system.json")
    if digest:
        _node(connection, "system", digest, run, [f"{run}/parts"])
        _edge(connection, digest, f"{run}/system")


def _released(connection: sqlite3.Connection, workspace: Path, statement: Statement) -> None:
    run, digest = statement.body["run"], statement.subjects["bundle.json"]
    _node(connection, "release", digest, f"release of {run}", [f"{run}/system"])


_ADDERS: dict[str, Any] = {
    "run-started": _started,
    "screen": _screened,
    "training": _trained,
    "trim": _trimmed,
    "release": _released,
}


def bundle_digest(path: Path) -> str | None:
    """Return what identifies a bundle or a run's release; None where `path` is no bundle."""
    manifest = path / "bundle.json"
    return file_digest(manifest) if manifest.is_file() else None
