"""What changed between two charters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trimtab.charter.charter import Charter


@dataclass(frozen=True)
class Change:
    """A principle (or the charter itself, `principle` empty) and a key of it, before and after; null for not there."""

    kind: str
    principle: str
    key: str = ""
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        """One line."""
        place = self.principle or "charter"
        if self.kind != "changed":
            return f"{self.kind}: {place}"
        return f"changed: {place}, {self.key}: {_short(self.before)} → {_short(self.after)}"


def _short(value: Any) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)


def changes(before: Charter, after: Charter) -> list[Change]:
    """Return what was added, removed and changed, in the order of the charters."""
    one, two = (c.model_dump(mode="json", exclude_none=True) for c in (before, after))
    old, new = ({p["id"]: p for p in c.pop("principle")} for c in (one, two))
    found = _keys("", one, two)
    found += [Change("removed", i) for i in old if i not in new]
    for ident, principle in new.items():
        found += _keys(ident, old[ident], principle) if ident in old else [Change("added", ident)]
    return found


def _keys(principle: str, one: dict[str, Any], two: dict[str, Any]) -> list[Change]:
    keys = dict.fromkeys([*one, *two])
    return [Change("changed", principle, k, one.get(k), two.get(k)) for k in keys if one.get(k) != two.get(k)]


def unversioned(before: Charter, after: Charter) -> list[str]:
    """Return what changed and kept its version: the charter (``""``), and principles that have one."""
    found = changes(before, after)
    moved = {c.principle for c in found if c.key == "version"}
    old = {p.id: p.version for p in before.principle}
    kept = {c.principle for c in found if c.kind == "changed" and old.get(c.principle)} - moved - {""}
    return ([""] if found and "" not in moved else []) + sorted(kept)
