"""How a behaviour's walk is told to a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trimtab.cli.output import tell

if TYPE_CHECKING:
    from trimtab.run.behaviour import Behaviour, Part, Seen

WIDTH = 160  # characters of a text that is told
CELLS = 8


def tell_behaviour(found: Behaviour) -> None:
    """Print the walk, from the case to the release, and what it does not show."""
    tell(f"case {found.item} of {found.suite} ({found.split}), cluster {found.cluster}, in {found.run}")
    _line("names", ", ".join(f"{k} {v}" for k, v in found.names.items()))
    for key, text in found.texts.items():
        _line("text", f"{key}: {_short(text)}")
    for seen in found.seen:
        _line("outcome", _outcome(seen))
    _tell_plan(found)
    _tell_system(found)
    for part in found.parts:
        _tell_part(part)
    for r in found.releases:
        told = "this bundle" if r["this"] else "released"
        trial = ", a trial that nobody reviewed" if r["demo"] else ""
        waived = f", waived: {', '.join(r['waivers'])}" if r["waivers"] else ""
        _line("release", f"{r['digest']}  {told}{trial}, entry {r['entry']}, {r['time']}{waived}")
    if not found.releases:
        _line("release", "none is stated")
    for recall in found.recalls:
        _line("recalled", str(recall))
    if not found.recalls:
        _line("recalled", f"nothing of this, up to entry {found.entries - 1} of the ledger")
    for place, why in found.missing:
        _line("missing", f"{place} {why}")
    for text in found.not_shown:
        _line("not shown", text)


def _line(what: str, text: str) -> None:
    if text:
        tell(f"  {what:10}{text}")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def _outcome(seen: Seen) -> str:
    """Return what was measured, how it was judged or counted, and what was answered."""
    counted = "" if seen.value is None else f"value {seen.value:.4g}"
    judged = f"no answer: {seen.error}" if seen.error else seen.label or counted
    blocked = ", blocked by the guard" if seen.blocked else ""
    answer = f": {_short(seen.response)}" if seen.response else ""
    return f"{seen.measured} (entry {seen.entry}): {judged}{blocked}{answer}"


def _tell_plan(found: Behaviour) -> None:
    plan = found.plan
    trained = ", ".join(map(str, plan["trained"])) or "none"
    case = f"case {plan['case'][:16]} under split {plan['split'][:16]}" if plan["case"] else "case not found in the split"  # fmt: skip
    _line("plan", f"entry {plan['entry']}, {plan['time']}; training was stated in entry {trained}")
    _line("", f"policy {plan['policy'][:16]}, charter {plan['charter'][:16]}, {case}")
    for gate in plan["gates"]:
        _line("gate", f"{gate['figure']}: {gate['outcome']}")
    if not plan["gates"]:
        _line("gate", "no figure of the run's policy is computed from this suite")


def _tell_system(found: Behaviour) -> None:
    system = found.system
    if not system:
        return
    _line("system", f"{system['digest']}  entry {system['entry']}")
    _line("base", f"{system['base_digest']}  {system['base']}")
    if guard := system["guard"]:
        _line("guard", f"{guard['digest']}  {_about_guard(found)}")
        if prompts := guard.get("prompts"):
            counts = {name: kind["count"] for name, kind in prompts["kinds"].items()}
            _line("", f"fitted on prompts, not records, by {prompts['source']}: {_counts(counts)}")
    if system["left_out"]:
        _line("", f"at strength 0, so not in the system: {', '.join(system['left_out'])}")


def _about_guard(found: Behaviour) -> str:
    if not any(s.label for s in found.seen):
        return "likelihoods bypass it"
    return "it blocked the prompt" if any(s.blocked for s in found.seen) else "it let the prompt through"


def _tell_part(part: Part) -> None:
    _line("adapter", f"{part.digest}  {part.mechanism} × {part.strength:g}, entry {part.entry}")
    _line("records", f"{part.records}: {_counts(part.cells)}")
    _line("", part.beside)
    _line("writers", _counts(part.generators))
    for name, cells in part.named.items():
        _line("", f"of {name}: {sum(cells.values())} of {part.records}: {_counts(cells)}")
    if not part.named:
        _line("", "none carries what the case names as its cell or operator")
    for near in part.alike:
        _line("near", f"{near.id}  {near.share:.0%} of words by weight, {near.cell}: {_short(near.text)}")


def _counts(counts: Mapping[str, int]) -> str:
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    more = [f"{len(rows) - CELLS} others {sum(n for _, n in rows[CELLS:])}"] if len(rows) > CELLS else []
    return ", ".join([*(f"{name} {n}" for name, n in rows[:CELLS]), *more])
