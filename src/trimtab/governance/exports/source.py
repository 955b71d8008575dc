"""What documents are made from: the run, figures and records of a folder that is laid out as a bundle."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trimtab.models.cache import file_digest
from trimtab.records.write import read_jsonl


@dataclass(frozen=True)
class Source:
    """A folder laid out as a bundle."""

    folder: Path

    @cached_property
    def about(self) -> dict[str, Any]:
        """`run.json`."""
        found: dict[str, Any] = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        return found

    @cached_property
    def figures(self) -> dict[str, Any]:
        """`figures.json`."""
        found: dict[str, Any] = json.loads((self.folder / "figures.json").read_text(encoding="utf-8"))
        return found

    @cached_property
    def charter(self) -> dict[str, Any]:
        """`charter.json`."""
        found: dict[str, Any] = json.loads((self.folder / "charter.json").read_text(encoding="utf-8"))
        return found

    @cached_property
    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """The records of each mechanism that has any."""
        paths = sorted((self.folder / "records").glob("*.jsonl"))
        return {p.stem: read_jsonl(p) for p in paths if p.stat().st_size}

    def trained(self, mechanism: str) -> dict[str, Any]:
        """Return what training an adapter came to; nothing where none was trained."""
        path = self.folder / "stages/04_train" / f"{mechanism}.json"
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return found

    def digest(self, mechanism: str) -> str:
        """Return the SHA-256 of a mechanism's file of records."""
        return file_digest(self.folder / "records" / f"{mechanism}.jsonl")

    @property
    def generators(self) -> Counter[str]:
        """How many records each generator wrote; `none` for those that no model wrote."""
        return Counter(r["lineage"]["generator"] or "none" for rows in self.rows.values() for r in rows)

    @property
    def sources(self) -> Counter[str]:
        """How many records are synthetic, human, mixed or unknown."""
        return Counter(r["source"] for rows in self.rows.values() for r in rows)


def plain(text: str) -> str:
    """Return text that does nothing in Markdown or HTML."""
    return "".join(c if c.isprintable() and c not in "`|<>" else " " for c in text)
