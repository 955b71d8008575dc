"""A sample of a suite: the same one each time, of which every family, group and direction has its share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from trimtab.records.record import sha256
from trimtab.suites.case import Case

C = TypeVar("C", bound=Case)
STRATA = ("family", "group", "direction", "role", "label", "target")
TOGETHER = ("question", "behavior")  # forms of a question and attempts at a behaviour are one figure


def sample(cases: Sequence[C], limit: int) -> list[C]:
    """Return at most `limit` cases, in their order; what one figure counts as one is taken whole, where it fits.

    Evenly spaced places of a file would meet one family alone where families alternate in it, or one order of choices.
    Here each stratum is put into an order that depends on ids alone, and is taken from evenly, from a start that
    depends on its name: of a share f of the cases it gets f of its own, rounded down or up. A smaller sample is a part
    of a larger one, but for what did not fit. Cochran 1977, chapter 8.
    """
    if limit >= len(cases):
        return list(cases)
    taken: set[str] = set()
    for unit in _in_turn(_units(cases)):
        if len(taken) + len(unit) <= limit:
            taken.update(c.id for c in unit)
    if not taken:  # every question has more forms than are asked for
        taken.update(c.id for c in next(_in_turn(_units(cases)))[:limit])
    return [c for c in cases if c.id in taken]


def _units(cases: Sequence[C]) -> list[list[C]]:
    found: dict[tuple[str, str], list[C]] = {}
    for case in cases:
        shared = next((v for key in TOGETHER if (v := getattr(case, key, ""))), "")
        found.setdefault(("shared", shared) if shared else ("", case.id), []).append(case)
    return list(found.values())


def _in_turn(units: Sequence[list[C]]) -> Iterator[list[C]]:
    """Yield all units, each stratum's spread evenly over the whole."""
    strata: dict[str, list[list[C]]] = {}
    for unit in units:
        name = "\0".join(str(getattr(unit[0], key, "")) for key in STRATA)
        strata.setdefault(name, []).append(unit)
    placed: list[tuple[float, str, list[C]]] = []
    for name, members in strata.items():
        ordered = sorted(members, key=lambda unit: sha256(unit[0].id.encode()))
        start = int(sha256(name.encode())[:8], 16) / 2**32
        placed += [((i + start) / len(ordered), name, unit) for i, unit in enumerate(ordered)]
    yield from (unit for _, _, unit in sorted(placed, key=lambda row: row[:2]))
