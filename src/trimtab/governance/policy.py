"""The policy: gates written down before the run, and the verdicts on what changed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trimtab.errors import EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_PASS, ConfigError, Problem
from trimtab.records.record import digest
from trimtab.records.toml import parse_toml
from trimtab.statistics.estimate import finite
from trimtab.statistics.power import cases_to_decide

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from trimtab.statistics.estimate import Estimate

Outcome = Literal["pass", "fail", "inconclusive"]
_ROUNDING = 1e-9
"""0.2 - 0.8 is not quite -0.6 in floating point, and still reaches it."""


class Gate(BaseModel):
    """One condition on the change of one figure, after - before.

    `goal` is the signed change an improvement must reach (a ratio: the value of after / before), `margin` how
    far a harm may go the `worse` way. `excludes_zero` asks of an improvement that its 95 % limit excludes no
    change. A gate that is not `required` is reported and decides nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    figure: str = Field(min_length=1)
    kind: Literal["improvement", "harm"]
    goal: float | None = None
    margin: float | None = Field(default=None, ge=0)
    worse: Literal["higher", "lower"] = "higher"
    unit: Literal["points", "ratio", "relative"] = "points"
    excludes_zero: bool = True
    required: bool = True

    @model_validator(mode="after")
    def _kind_has_its_number(self) -> Gate:
        wanted, other = ("goal", "margin") if self.kind == "improvement" else ("margin", "goal")
        if getattr(self, wanted) is None or getattr(self, other) is not None:
            raise ValueError(f"gate {self.figure}: a gate of kind {self.kind} needs {wanted} and no {other}")
        if self.goal is not None and self.harm(self.goal) > 0:
            raise ValueError(f"gate {self.figure}: goal {self.goal:g} lies the worse way ({self.worse})")
        return self

    @property
    def neutral(self) -> float:
        """The value that means no change."""
        return 1.0 if self.unit == "ratio" else 0.0

    def harm(self, value: float) -> float:
        """Return how far `value` is from no change, counted the worse way."""
        return (value - self.neutral) * (1 if self.worse == "higher" else -1)


@dataclass(frozen=True)
class Verdict:
    """What a gate came to, on which change, and why in one sentence."""

    gate: Gate
    outcome: Outcome
    change: Estimate | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as JSON values; a limit that is infinite becomes null."""
        change = None if self.change is None else finite(self.change.to_json())
        gate = self.gate.model_dump(mode="json")
        return {"gate": gate, "outcome": self.outcome, "change": change, "reason": self.reason}


def decide(gate: Gate, change: Estimate | None, why_missing: str = "") -> Verdict:
    """Return the verdict of `gate` on `change` (an estimate in the gate's unit), or on its absence.

    An improvement passes when its value reaches the goal and its 95 % limit excludes no change. A harm passes
    when the worse limit is within the margin, fails when the better limit is beyond it. Anything else that
    does not fail is inconclusive. Raises `ConfigError` when the units differ.
    """
    if change is None or any(math.isnan(v) for v in (change.value, change.low, change.high)):
        why = why_missing or ("no figure" if change is None else change.note or "the figure is not a number")
        return Verdict(gate, "inconclusive", change, f"not run: {why}")
    unit = "points" if change.unit == "share" else change.unit
    if unit != gate.unit:
        text = f"the gate counts in {gate.unit}, the change came in {unit}"
        fix = f"Give the gate the figure's unit, or a figure that is counted in {gate.unit}."
        raise ConfigError(Problem("policy.unit", f"gate {gate.figure}", text, fix))
    # The best and the worst the interval allows, both counted the worse way from no change.
    best, worst = sorted((gate.harm(change.low), gate.harm(change.high)))
    outcome, reason = (_improvement if gate.kind == "improvement" else _harm)(gate, change, best, worst)
    return Verdict(gate, outcome, change, f"{_told(gate, change)}; {reason}")


def _improvement(gate: Gate, change: Estimate, _best: float, worst: float) -> tuple[Outcome, str]:
    goal, value = gate.harm(gate.goal or 0.0), gate.harm(change.value)
    # A goal of no change asks for a direction: standing still does not reach it.
    reached = value <= goal + _ROUNDING if goal < 0 else value < -_ROUNDING
    told = f"{_number(gate, gate.goal or 0.0)}{_suffix(gate)}"
    if not reached:
        short = "the change is the wrong way" if value > 0 else "the goal is not reached"
        return "fail", f"{short} (goal {told})"
    if gate.excludes_zero and not worst < 0:
        needed = _needed(change, gate.neutral)
        return "inconclusive", f"the goal is reached, but the interval includes no change; {needed}"
    return "pass", f"reaches the goal of {told}"


def _harm(gate: Gate, change: Estimate, best: float, worst: float) -> tuple[Outcome, str]:
    margin = gate.margin or 0.0
    told = f"the margin of {_number(gate, margin, signed=False)}{_suffix(gate)}"
    if worst <= margin + _ROUNDING:
        return "pass", f"the worse limit is within {told}"
    if best > margin + _ROUNDING:
        return "fail", f"the better limit is beyond {told}"
    limit = gate.neutral + (margin if gate.worse == "higher" else -margin)
    return "inconclusive", f"the interval includes {told}; {_needed(change, limit)}"


def _needed(change: Estimate, limit: float) -> str:
    cases = cases_to_decide(change, limit)
    if cases is not None:
        return f"about {cases} cases would decide it ({change.n} now)"
    if change.clusters < 2:
        return "more than one cluster is needed to decide it"
    return "no number of cases decides a change that sits on the limit"


def _told(gate: Gate, change: Estimate) -> str:
    low, high = _number(gate, change.low), _number(gate, change.high)
    value = _number(gate, change.value) + _suffix(gate)
    return f"{gate.figure} {value} [{low}, {high}], n {change.n} in {change.clusters} clusters"


def _number(gate: Gate, value: float, *, signed: bool = True) -> str:
    if gate.unit == "ratio":
        return f"{value:.2f}"
    return f"{value * 100:+.1f}" if signed else f"{value * 100:.1f}"


def _suffix(gate: Gate) -> str:
    return {"points": " points", "relative": " %", "ratio": ""}[gate.unit]


def overall(verdicts: Iterable[Verdict]) -> Outcome:
    """Return `fail` if any required gate failed, `pass` if all passed, else `inconclusive`.

    Without a required gate nothing was decided, and that is inconclusive too.
    """
    outcomes = {v.outcome for v in verdicts if v.gate.required}
    if "fail" in outcomes:
        return "fail"
    return "pass" if outcomes == {"pass"} else "inconclusive"


def exit_code(outcome: Outcome) -> int:
    """Return the exit code of the command line: 0 pass, 1 fail, 3 inconclusive."""
    return {"pass": EXIT_PASS, "fail": EXIT_FAIL, "inconclusive": EXIT_INCONCLUSIVE}[outcome]


def gates_digest(gates: Sequence[Gate]) -> str:
    """Return the SHA-256 of the gates as canonical JSON, in their order: what a run records before it starts."""
    return digest([gate.model_dump(mode="json") for gate in gates])


def read_gates(path: Path) -> tuple[Gate, ...]:
    """Read gates from a TOML file of `[[gate]]` tables; raises `ConfigError` with all its problems."""
    try:
        return parse_gates(path.read_bytes(), str(path))
    except OSError as error:
        problem = Problem("policy.unreadable", str(path), str(error), "Name a TOML file in UTF-8.")
        raise ConfigError(problem) from error


def parse_gates(text: str | bytes, place: str) -> tuple[Gate, ...]:
    """Return the gates of a TOML text that came from `place`; raises `ConfigError` with all its problems."""
    data = text.encode() if isinstance(text, str) else text
    table = parse_toml(data, place=place, area="policy")
    rows = table.get("gate")
    if set(table) != {"gate"} or not isinstance(rows, list) or not rows:
        fix = "Write one [[gate]] table for each gate."
        raise ConfigError(
            Problem("policy.no-gates", place, "it holds no gates, or other keys beside them", fix)
        )
    problems, gates = [], []
    for number, row in enumerate(rows, start=1):
        try:
            gates.append(Gate.model_validate(row))
        except ValidationError as error:
            problems += [_problem(f"{place}, gate {number}", e["loc"], e["msg"]) for e in error.errors()]
    figures = [gate.figure for gate in gates]
    for figure in sorted({f for f in figures if figures.count(f) > 1}):
        problems.append(Problem("policy.twice", place, f"figure {figure} has two gates", "Keep one."))
    if problems:
        raise ConfigError(problems)
    return tuple(gates)


def _problem(place: str, keys: Sequence[int | str], message: str) -> Problem:
    where = ".".join(str(key) for key in keys)
    fix = "See trimtab/governance/gates.toml for an example."
    return Problem("policy.gate", f"{place}, {where}" if where else place, message, fix)


DEFAULT_GATES: tuple[Gate, ...] = parse_gates(
    files("trimtab.governance").joinpath("gates.toml").read_text(encoding="utf-8"), "gates.toml"
)
"""The gates of `trimtab run` unless the user names others."""
