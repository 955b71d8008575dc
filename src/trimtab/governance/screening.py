"""The policy of a screen: which rows leave, how much of what a dataset may hold, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trimtab.errors import ConfigError, Problem
from trimtab.governance.policy import Outcome
from trimtab.records.record import digest
from trimtab.records.toml import parse_toml
from trimtab.screens.finding import Finding, abouts
from trimtab.screens.settings import Settings
from trimtab.statistics.estimate import Estimate


class ScreenPolicy(BaseModel):
    """Codes whose rows are excluded, limits of figures by code, checks that must run, and settings of the checks."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    exclude: tuple[str, ...]
    must_run: tuple[str, ...]
    limits: dict[str, Annotated[float, Field(strict=True)]]  # true is no number
    settings: Settings = Field(default_factory=Settings)

    @property
    def digest(self) -> str:
        """SHA-256 of the policy as canonical JSON."""
        return digest(self.model_dump(mode="json"))


@dataclass(frozen=True)
class Decision:
    """What one limit, or a check that must run, came to, and why in one sentence."""

    code: str
    outcome: Outcome
    reason: str


def read_screen_policy(path: Path | None) -> ScreenPolicy:
    """Read a policy from a TOML file, over the default one; raises ConfigError with all its problems."""
    base = _default()
    if path is None:
        return ScreenPolicy.model_validate(base)
    try:
        data = path.read_bytes()
    except OSError as error:
        problem = Problem("policy.unreadable", str(path), str(error), "Name a TOML file in UTF-8.")
        raise ConfigError(problem) from error
    table = parse_toml(data, place=str(path), area="policy")
    try:
        policy = ScreenPolicy.model_validate({**base, **{k: _over(base.get(k), v) for k, v in table.items()}})
    except ValidationError as error:
        raise ConfigError([_problem(path, e["loc"], e["msg"]) for e in error.errors()]) from error
    if problems := [*_unknown(policy, path), *_without_rows(policy, path), *_no_shares(policy, path)]:
        raise ConfigError(problems)
    return policy


@lru_cache(maxsize=1)
def _default() -> dict[str, Any]:
    data = files("trimtab.governance").joinpath("screening.toml").read_bytes()
    return parse_toml(data, place="screening.toml", area="policy")


def _over(base: Any, value: Any) -> Any:
    """Limits and settings are laid over those of the default policy one by one, lists replace it whole."""
    return {**base, **value} if isinstance(base, dict) and isinstance(value, dict) else value


def _problem(path: Path, keys: Sequence[int | str], message: str) -> Problem:
    where = ".".join(map(str, keys))
    return Problem("policy.screen", f"{path}, {where}", message, "See trimtab/governance/screening.toml.")


def _unknown(policy: ScreenPolicy, path: Path) -> list[Problem]:
    named = {"exclude": policy.exclude, "must_run": policy.must_run, "limits": tuple(policy.limits)}
    fix = f"Known are {', '.join(abouts())}"
    return [
        Problem("policy.unknown-code", f"{path}, {key}", f"no check finds {code!a}", fix)
        for key, codes in named.items()
        for code in codes
        if code not in abouts()
    ]


def _without_rows(policy: ScreenPolicy, path: Path) -> list[Problem]:
    fix = "Give it a limit instead, under [limits]"
    return [
        Problem("policy.marks-no-row", f"{path}, exclude", f"{code!a} is a figure of the whole dataset", fix)
        for code in policy.exclude
        if code in abouts() and not abouts()[code].marks
    ]


def _no_shares(policy: ScreenPolicy, path: Path) -> list[Problem]:
    """A limit over 1 on a share of rows would never be exceeded (5 is meant to be 5 %), and one below 0 always."""
    fix = "Give it as a share: 0.05 is 5 %"
    return [
        Problem("policy.no-share", f"{path}, limits.{code}", f"{limit:g} is no share of the rows", fix)
        for code, limit in policy.limits.items()
        if not 0 <= limit <= 1 and code in abouts() and abouts()[code].marks
    ]


def decide_screen(policy: ScreenPolicy, findings: Sequence[Finding]) -> list[Decision]:
    """Return what every limit and every check that must run comes to, in the order of the findings.

    A share of rows that were all read is known exactly: it is compared as it stands. Another figure is of a sample, and
    only an interval that lies whole on one side of its limit decides. A limit is the most that a figure may be, or the
    least where lower is worse.
    """
    found = {finding.code: finding for finding in findings}
    codes = [code for code in abouts() if code in policy.limits or code in policy.must_run]
    decisions = [_decide(policy, code, found.get(code)) for code in codes]
    return [decision for decision in decisions if decision is not None]


def _decide(policy: ScreenPolicy, code: str, finding: Finding | None) -> Decision | None:
    must, limit = code in policy.must_run, policy.limits.get(code)
    if finding is None or finding.estimate is None:
        why = finding.text if finding else "the check is not there"
        return Decision(code, "inconclusive", f"not run: {why}") if must else None
    if limit is None:
        return Decision(code, "pass", "ran")
    return _against(limit, finding, finding.estimate)


def _against(limit: float, finding: Finding, e: Estimate) -> Decision:
    exact = e.unit == "share" and not finding.drawn_from
    low, high = (e.value, e.value) if exact else (e.low, e.high)
    least = finding.about.worse == "lower"
    told = f"{_figure(e.value, e.unit)}, at {'least' if least else 'most'} {_figure(limit, e.unit)} allowed, n {e.n:,}"
    if finding.drawn_from:
        told += f" of {finding.drawn_from:,}"
    if (low >= limit) if least else (high <= limit):
        return Decision(finding.code, "pass", told)
    if (high < limit) if least else (low > limit):
        return Decision(finding.code, "fail", told)
    interval = f"{_figure(low, e.unit)} to {_figure(high, e.unit)}"
    return Decision(finding.code, "inconclusive", f"{told}: the interval, {interval}, includes the limit")


def _figure(value: float, unit: str) -> str:
    return f"{100 * value:.3g} %" if unit in ("share", "of texts") else f"{value:.3f}"


def overall_screen(decisions: Sequence[Decision]) -> Outcome:
    """Return `fail` if any failed, `pass` if all passed, else `inconclusive`; nothing decided is inconclusive."""
    outcomes = {decision.outcome for decision in decisions}
    if "fail" in outcomes:
        return "fail"
    return "pass" if outcomes == {"pass"} else "inconclusive"
