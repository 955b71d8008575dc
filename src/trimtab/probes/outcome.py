"""The outcome: one case, one attempt, and what came of it; and the base class of probes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trimtab.errors import InputError, Problem
from trimtab.models.protocol import Answer, Likelihood, Model, Progress
from trimtab.records.write import read_jsonl
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.intervals import rate
from trimtab.suites.case import Case


@dataclass(frozen=True)
class Outcome:
    """What was asked (`item` of `suite`), answered (`response`), judged (`judge`, `raw`) and counted (`value`).

    `value` is null where there is nothing to count: `raw` holds the `error` where there is no answer to judge.
    """

    item: str
    cluster: str
    suite: str
    split: str
    system: str
    attempt: int
    response: str
    judge: str
    value: float | None
    raw: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self)


def read_outcomes(path: Path) -> list[Outcome]:
    """Read a file of outcomes, one a line; raises InputError that names a line which holds none."""
    found, fields = [], set(Outcome.__dataclass_fields__)
    for number, row in enumerate(read_jsonl(path), start=1):
        if set(row) != fields or not isinstance(row["raw"], dict):
            fix = "Name a file that `trimtab probe --outcomes` wrote, or one of a run's stages."
            raise InputError(Problem("outcomes.row", f"{path}, row {number}", "is no outcome", fix))
        found.append(Outcome(**row))
    return found


class Probe(ABC):
    """Measures a model on the cases of one kind of suite."""

    kind: str
    needs_likelihood = False

    @abstractmethod
    def measure(
        self, model: Model, cases: Sequence[Any], *, system: str, progress: Progress | None = None
    ) -> list[Outcome]:
        """Ask the model about every case; one outcome for each, in order."""

    def again(self, stored: Outcome) -> Outcome:
        """Return the outcome with label and value made anew from what is stored in it; as it is where nothing can be."""
        return stored

    @abstractmethod
    def figures(self, outcomes: Sequence[Outcome]) -> list[Estimate]:
        """Compute the figures of one suite and system; none without an outcome that has a value."""


def outcome(
    case: Case, *, system: str, response: str, judge: str, value: float | None, **raw: Any
) -> Outcome:
    """Return the outcome of a case at the first attempt."""
    where = {"item": case.id, "cluster": case.cluster, "suite": case.suite, "split": case.split or ""}
    return Outcome(**where, system=system, attempt=0, response=response, judge=judge, value=value, raw=raw)


def answered(
    case: Case, answer: Answer, *, system: str, judge: str, label: str, value: float | None, **raw: Any
) -> Outcome:
    """Return the outcome of a generated answer; an error of the model is no answer and has no value.

    `raw` says what is asked about, such as the family: it is kept with an error, too.
    """
    if answer.error:
        return uncounted(case, answer.error, system=system, **raw)
    given = {"tokens": answer.tokens, "finished": answer.finished, "blocked": answer.blocked}
    if answer.truncated:
        given["truncated"] = True
    return outcome(
        case, system=system, response=answer.text, judge=judge, value=value, label=label, **given, **raw
    )


def unscored(scores: Iterable[Likelihood]) -> str:
    """Return why these likelihoods cannot be compared; empty when they can."""
    found = list(scores)
    if not all(s.tokens for s in found):
        return "the model scored no token of a text"
    return "" if all(math.isfinite(s.total) for s in found) else "a log-likelihood is not a finite number"


def uncounted(case: Case, error: str, *, system: str, judge: str = "", **raw: Any) -> Outcome:
    """Return the outcome of a case that could not be measured; `raw` says what was asked about."""
    return outcome(case, system=system, response="", judge=judge, value=None, error=error, **raw)


def with_value(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Return the outcomes that count."""
    return [o for o in outcomes if o.value is not None]


def values(outcomes: Iterable[Outcome]) -> list[float]:
    """Return the values of the outcomes that count."""
    return [o.value for o in outcomes if o.value is not None]


def rate_of(outcomes: Sequence[Outcome], name: str, hit: Callable[[Outcome], bool]) -> Estimate:
    """Return the share of outcomes for which `hit` holds, clustered."""
    return rate([float(hit(o)) for o in outcomes], [o.cluster for o in outcomes], name=name)


def cut_note(outcomes: Iterable[Outcome]) -> str:
    """Return how many of the scored texts were cut to the model's context; empty when none was."""
    cut = sum(bool(o.raw["truncated"]) for o in outcomes)
    return f"{cut} texts cut to the context" if cut else ""
