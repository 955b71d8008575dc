"""The monitors of drift: which measures they watch, and what they come to against the control arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from trimtab.records.toml import parse_toml
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.sequential import Alarm, alarm, e_value, p_above

if TYPE_CHECKING:
    from trimtab.statistics._clustered import Floats

Monitor = Literal["values", "bias", "collapse"]
MONITORS: tuple[Monitor, ...] = ("values", "bias", "collapse")
Values = Mapping[str, float]  # cluster → mean of its cases
Measured = Mapping[str, Values]  # measure → values


class Measure(BaseModel):
    """A measure: its monitor, which way is worse, and how far beyond the control arm counts as drift."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    monitor: Monitor
    title: str
    worse: Literal["lower", "higher"]
    margin: float = Field(ge=0)
    unit: str

    @property
    def sign(self) -> float:
        """What turns a change into drift."""
        return 1.0 if self.worse == "higher" else -1.0


class Watch(BaseModel):
    """All measures, and the false-alarm rate of each monitor for a whole run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    false_alarm_rate: float = Field(gt=0, lt=1)
    measure: dict[str, Measure]

    def of(self, monitor: Monitor) -> dict[str, Measure]:
        """Return the measures of a monitor."""
        return {n: m for n, m in self.measure.items() if m.monitor == monitor}


@cache
def watch() -> Watch:
    """Return what drift.toml says."""
    data = files(__package__).joinpath("drift.toml").read_bytes()
    return Watch.model_validate(parse_toml(data, place="drift.toml", area="drift"))


def by_cluster(values: Sequence[float], clusters: Sequence[str]) -> dict[str, float]:
    """Return the mean of each cluster's cases."""
    found: dict[str, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        found.setdefault(cluster, []).append(value)
    return {c: float(np.mean(v)) for c, v in found.items()}


def drifted(measure: Measure, arm: Values, control: Values) -> Floats:
    """Return arm minus control, counted the worse way, of every cluster that both have (n,)."""
    both = [c for c in arm if c in control]
    return measure.sign * np.array([arm[c] - control[c] for c in both], dtype=np.float64)


def change(name: str, measure: Measure, arm: Values, control: Values) -> Estimate | None:
    """Return arm minus control with its 95 % interval; None where fewer than two clusters are shared."""
    from trimtab.statistics.intervals import mean

    both = drifted(measure, arm, control) * measure.sign
    if both.size < 2:
        return None
    return mean(both, list(map(str, range(both.size))), name=name, unit=measure.unit)


def monitor_alarm(
    monitor: Monitor, arm: Sequence[Measured], control: Sequence[Measured], *, looks: int, watched: Watch
) -> Alarm:
    """Return the alarm of a monitor over the generations measured so far (1 to T of `looks`).

    The e-value of a generation is the mean of those of its measures. A measure with fewer than two shared clusters says
    nothing (e-value 1).
    """
    found = []
    for one, other in zip(arm, control, strict=True):
        es = [
            _e(measure, one.get(name, {}), other.get(name, {}))
            for name, measure in watched.of(monitor).items()
        ]
        found.append(float(np.mean(es)))
    return alarm(found, looks, watched.false_alarm_rate)


def _e(measure: Measure, arm: Values, control: Values) -> float:
    apart = drifted(measure, arm, control)
    return float(e_value(p_above(apart, measure.margin))) if apart.size > 1 else 1.0


def alarms(arm: Sequence[Measured], control: Sequence[Measured], *, looks: int) -> dict[Monitor, Alarm]:
    """Return the alarm of each monitor."""
    return {m: monitor_alarm(m, arm, control, looks=looks, watched=watch()) for m in MONITORS}


def alarm_json(found: Alarm) -> dict[str, Any]:
    """Return an alarm as JSON values."""
    return {"evidence": list(found.evidence), "threshold": found.threshold, "first": found.first}
