"""Waivers: a gate that did not pass and is let pass all the same, with a reason, an owner and an end.

A waiver changes no verdict. It is written in `trimtab.toml` before the run, where reviewers see it, or said at the release.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, ConfigDict

from trimtab.errors import Problem
from trimtab.governance.ledger.envelope import is_time
from trimtab.records.record import not_blank


def _time(text: str) -> str:
    if not is_time(text):
        raise ValueError("is not a time such as 2027-01-31T00:00:00Z")
    return text


@dataclass(frozen=True)
class Waiver:
    """A gate that may be without a pass: why, who answers for it, until when."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    gate: str
    reason: Annotated[str, AfterValidator(not_blank)]
    owner: Annotated[str, AfterValidator(not_blank)]
    expires: Annotated[str, AfterValidator(_time)]

    def to_json(self) -> dict[str, str]:
        """Return the waiver as statements hold it."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.gate} is waived by {self.owner} until {self.expires}: {self.reason}"


def waivers_of(config: Mapping[str, Any]) -> list[Waiver]:
    """Return the waivers that the configuration in a `run.json` holds; none in one of before there were any."""
    return [Waiver(**row) for row in config.get("waivers", ())]


def problems_of(waivers: Iterable[Waiver], at: str) -> list[Problem]:
    """Return what keeps waivers from counting at a time."""
    problems = []
    for w in waivers:
        if not (w.reason.strip() and w.owner.strip() and is_time(w.expires)):
            fix = "Write GATE:OWNER:DAYS:REASON."
            problems.append(Problem("waiver.empty", w.gate, "needs a reason, an owner and an expiry", fix))
        elif w.expires < at:
            fix = "Say a new one with --waive, or change the system."
            problems.append(Problem("waiver.ended", w.gate, f"its waiver ended at {w.expires}", fix))
    return problems
