"""How the report prints texts and figures: one unit, one form, and nothing hidden in a text."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from typing import Any

Summary = Mapping[str, Any]
MISSING = "–"
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_SHOWN = {"\n", "\t"}
# unit: factor, decimals, what follows the number, whether it only counts changes
_UNITS: dict[str, tuple[float, int, str, bool]] = {
    "share": (100, 1, " %", False),
    "points": (100, 1, " points", True),
    "relative": (100, 1, " %", True),
    "ratio": (1, 2, "", False),
    "nats": (1, 2, " nats", False),
    "nats/token": (1, 3, " nats/token", False),
    "tokens": (1, 0, " tokens", False),
}


def visible(text: str) -> str:
    """Return `text` with each control, bidi, zero-width and other invisible character spelled as ⟨U+XXXX⟩."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"⟨U+{ord(c):04X}⟩" if _hidden(c) else c for c in text.replace("\r\n", "\n"))


def _hidden(char: str) -> bool:
    # The supplementary variation selectors are marks by category, invisible, and can carry a hidden text.
    selector = "\U000e0100" <= char <= "\U000e01ef"
    return char not in _SHOWN and (selector or unicodedata.category(char) in _HIDDEN)


def one_line(text: str) -> str:
    """Return `text` visible and on one line."""
    return " ".join(visible(text).split())


def cut(text: str, limit: int) -> str:
    """Return `text` on one line of at most `limit` characters, the end replaced by an ellipsis."""
    line = one_line(text)
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def number(value: Any) -> float | None:
    """Return `value` as a finite float, or None when it is missing, not a number or infinite."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def quantity(value: Any, unit: str, *, change: bool = False, bare: bool = False) -> str:
    """Return `value` in the form of its `unit`; a `change` carries its sign, `bare` leaves out the unit."""
    finite = number(value)
    if finite is None:
        return MISSING
    if change and unit == "share":
        unit = "points"
    factor, decimals, suffix, signed = _UNITS.get(unit, (1, 3, f" {one_line(unit)}" if unit else "", False))
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    rounded = round(finite * factor, decimals) + 0.0
    sign = "+" if (signed or change) and unit != "ratio" else ""
    return f"{rounded:{sign},.{decimals}f}".replace("-", "−") + ("" if bare else suffix)


def level(estimate: Summary | None) -> str:
    """Return the value of an estimate with its unit; a dash when there is none."""
    return quantity(estimate["value"], estimate["unit"]) if estimate else MISSING


def shift(estimate: Summary | None) -> str:
    """Return the value of a change with its sign and unit; a dash when there is none."""
    return quantity(estimate["value"], estimate["unit"], change=True) if estimate else MISSING


def interval(estimate: Summary | None, *, change: bool = False) -> str:
    """Return the 95 % interval as ``[low, high]`` without unit; empty when there is no estimate."""
    if not estimate or number(estimate["value"]) is None:
        return ""
    low, high = (quantity(estimate[k], estimate["unit"], change=change, bare=True) for k in ("low", "high"))
    return f"[{low}, {high}]"


def unmeasured_lines(preferences: Summary | None) -> list[str]:
    """Return what a charter left of the held-out pairs: those it does not hold, and principles without any."""
    found = preferences or {}
    lines = []
    if out := found.get("not_held"):
        told = ", ".join(f"{p} {n}" for p, n in out.items())
        lines.append(
            f"not measured, on principles that the charter does not hold: {sum(out.values())} pairs ({told})"
        )
    if bare := found.get("without_pairs"):
        lines.append(
            f"preferences not measured, as there is no held-out pair: {', '.join(bare)}; examples with a prompt are pairs"
        )
    return lines


def cases(estimate: Summary) -> str:
    """Return how many cases stand behind an estimate, and in how many clusters where that is another number."""
    n, clusters = count(estimate["n"]), count(estimate["clusters"])
    return f"n {n}" if n == clusters else f"n {n} in {clusters} clusters"


RISE = "rise of "  # costs of this name are told as a share of what they were without an adapter
_SHARES = ("attack success", "refusal of ")


def tuned(name: str, value: Any, base: Any = None) -> str:
    """Return an effect or cost that was measured on tune, in its unit by its name; a rise is counted from `base`."""
    finite, bare = number(value), number(base)
    if finite is None:
        return "not measured"
    if name.startswith(RISE) and bare:
        return quantity(finite / bare - 1, "relative")
    if name.startswith(_SHARES):
        return quantity(finite, "share")
    return f"{finite:.3f}".replace("-", "−")


def costs_of(point: Summary) -> list[str]:
    """Return the costs of a strength, each with its limit; runs of earlier versions have one, without a limit."""
    rows = point.get("costs") or [{"name": point["cost_name"], "value": point["cost"]}]
    found = []
    for c in rows:
        most = c.get("most")
        limit = f" (at most {tuned(c['name'], most, c.get('base'))})" if most is not None else ""
        found.append(f"{c['name']} {tuned(c['name'], c['value'], c.get('base'))}{limit}")
    return found


def judge_lines(judge: Summary | None) -> list[str]:
    """Return the judge's errors at attacks, and attack success corrected for them, one line each."""
    if not judge:
        return []
    lines = [
        f"judge {judge['name']} at attacks, {e['system']} model: " + judge_error(e)
        for e in judge["errors"]
        if e["kind"] == "attack"
    ]
    found = [f"{c['when']} {correction(c)}" for c in judge["corrected"] if c["figure"] == "attack success"]
    other = "" if judge["same_model"] else " Measured on the embedded model, which is not this run's."
    return [*lines, f"attack success corrected for the judge: {'; '.join(found)}. {judge['note']}{other}"]


def judge_error(error: Summary) -> str:
    """Return the sensitivity and specificity of the judge on one kind of output, with n and intervals."""
    if not error["sensitivity"]:
        return f"not measurable, none of {error['n']} labelled answers was {error['counts']}"
    parts = (
        f"{k} {level(error[k])} {interval(error[k])}, n {error[k]['n']}"
        for k in ("sensitivity", "specificity")
    )
    return f"{'; '.join(parts)}; labelled {error['counts']} {level(error['labelled'])} {interval(error['labelled'])}"


def correction(row: Summary) -> str:
    """Return a corrected figure, or why there is none."""
    e = row["estimate"]
    if not e:
        return f"none ({row['why']})"
    outside = f" ({row['why'].split('; ')[-1]})" if "outside" in row["why"] else ""
    return f"{level(e)} {interval(e)}{outside}"


def goal(verdict: Summary, better: str = "") -> str:
    """Return what a gate asks for, in words; `better` (lower, higher) decides a goal of no change."""
    unit = verdict.get("unit") or "points"
    if verdict["kind"] == "harm":
        margin = quantity(verdict.get("margin"), unit).replace("+", "")
        return f"at most {margin} worse"
    target = number(verdict.get("goal"))
    if target is None:
        return MISSING
    neutral = 1.0 if unit == "ratio" else 0.0
    told = quantity(target, unit)
    if target == neutral:
        return "any rise" if better == "higher" else "any fall"
    return f"{told} or lower" if target < neutral else f"{told} or higher"


def count(value: Any) -> str:
    """Return a count with thousands separated."""
    finite = number(value)
    return MISSING if finite is None else f"{finite:,.0f}"


def share(value: Any) -> str:
    """Return a share as a percentage."""
    return quantity(value, "share")


def seconds(value: Any) -> str:
    """Return a duration in seconds, minutes or hours, whichever reads best."""
    finite = number(value)
    if finite is None:
        return MISSING
    if finite < 120:
        return f"{finite:.1f} s"
    return f"{finite / 60:.1f} min" if finite < 7200 else f"{finite / 3600:.1f} h"


def dollars(value: Any) -> str:
    """Return an amount in US dollars; a dash when the price is unknown."""
    finite = number(value)
    return MISSING if finite is None else f"{finite:,.2f}"
