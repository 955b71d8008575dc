"""Adherence by a model that judges: does a reply keep a principle? Its own errors are measured first, and carried along.

The errors are measured on authored replies that keep or break a principle, of the `tune` split; on replies of the measured
system they may be others. A broken reply keeps no principle and is not judged.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from trimtab.charter.charter import Charter, Principle
from trimtab.errors import ModelError, Problem
from trimtab.models.protocol import Answer, Model, Progress, user
from trimtab.probes.judge import is_broken
from trimtab.probes.outcome import Outcome, answered, rate_of, with_value
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.intervals import product, rate
from trimtab.statistics.judges import rogan_gladen, sensitivity_specificity
from trimtab.suites.case import PreferenceCase

SUITE = "adherence"
REPLY_TOKENS, VERDICT_TOKENS = 64, 4
UNCLEAR = "the judge said neither yes nor no"


@dataclass(frozen=True)
class Judging:
    """A model that judges, with sensitivity and specificity (None where they cannot be told); `unclear` of `n` calls said nothing."""

    model: Model
    charter: Charter
    errors: tuple[Estimate, Estimate] | None
    unclear: int
    n: int


@cache
def _text() -> str:
    found = tomllib.loads(files(__package__).joinpath("adherence.toml").read_text(encoding="utf-8"))
    return str(found["text"]).strip()


def measure_judge(model: Model, charter: Charter, pairs: Sequence[PreferenceCase]) -> Judging:
    """Return the judge with its sensitivity and specificity on the replies of `pairs` that keep and that break a principle."""
    rows = [(c, reply) for c in pairs for reply in (c.chosen, c.rejected)]
    calls = _calls(model, charter, rows)
    known = [
        (float(reply == c.chosen), call, c.cluster)
        for (c, reply), call in zip(rows, calls, strict=True)
        if call is not None
    ]
    unclear = len(rows) - len(known)
    if {truth for truth, _, _ in known} != {0.0, 1.0}:
        return Judging(model, charter, None, unclear, len(rows))
    truth, called, clusters = (list(column) for column in zip(*known, strict=True))
    errors = sensitivity_specificity(truth, called, [str(c) for c in clusters])
    return Judging(model, charter, errors, unclear, len(rows))


def _calls(model: Model, charter: Charter, rows: Sequence[tuple[PreferenceCase, str]]) -> list[float | None]:
    """Return 1 for a reply that keeps its principle, 0 for one that does not, None where the judge does not say."""
    known = {p.id: p for p in charter.principle}
    prompts = [user(_asked(known[case.group], case.text, reply)) for case, reply in rows]
    answers = model.generate(prompts, max_tokens=VERDICT_TOKENS) if prompts else []
    if answers and all(a.error for a in answers):
        fix = "Name another model with --judge, or see that it can be reached."
        raise ModelError(Problem("adherence.judge", model.name, f"gave no answer: {answers[0].error}", fix))
    return [_read(a.text) for a in answers]


def _asked(principle: Principle, prompt: str, reply: str) -> str:
    about = {"statement": principle.statement, "rationale": principle.rationale}
    return _text().format(prompt=prompt, reply=reply, **about)


def _read(text: str) -> float | None:
    words = "".join(c if c.isalpha() else " " for c in text.casefold()).split()
    return {"yes": 1.0, "no": 0.0}.get(words[0]) if words else None


def measure_adherence(
    model: Model, judging: Judging, cases: Sequence[PreferenceCase], *, system: str, progress: Progress | None = None
) -> list[Outcome]:  # fmt: skip
    """Let a system answer the prompts, and the judge say of each reply whether it keeps its principle."""
    answers = model.generate([c.prompt for c in cases], max_tokens=REPLY_TOKENS, progress=progress)
    asked = [(c, a.text) for c, a in zip(cases, answers, strict=True) if not (a.error or is_broken(a.text))]
    calls = {
        c.id: call for (c, _), call in zip(asked, _calls(judging.model, judging.charter, asked), strict=True)
    }
    return [
        _outcome(case, answer, calls, judging, system) for case, answer in zip(cases, answers, strict=True)
    ]


def _outcome(
    case: PreferenceCase, answer: Answer, calls: Mapping[str, float | None], judging: Judging, system: str
) -> Outcome:
    call = calls.get(case.id)
    label = "keeps" if call else "breaks" if call == 0 else "unclear" if case.id in calls else "broken"
    found = answered(
        case.model_copy(update={"suite": SUITE}), answer, system=system, judge=judging.model.name, label=label,
        value=call or 0.0, group=case.group, judge_digest=judging.model.digest,
    )  # fmt: skip
    if label == "unclear":
        return replace(found, value=None, raw={**found.raw, "error": UNCLEAR})
    return found


def adherence_figures(outcomes: Sequence[Outcome], judging: Judging) -> list[Estimate]:
    """Return the judge's errors, the adherence as judged, and the adherence corrected for the errors.

    The corrected one is left out where the judge is unusable, which the note of the judged one then says.
    """
    counted = with_value(outcomes)
    if not counted:
        return []
    errors = list(judging.errors or ())
    plain = rate_of(counted, "adherence_judged", lambda o: o.value == 1)
    judged = [o for o in counted if o.raw["label"] != "broken"]
    if not judging.errors or not judged:
        why = "no reply was judged" if judging.errors else "the judge's errors could not be measured"
        return [*errors, replace(plain, note=f"not corrected: {why}")]
    hits = [float(o.value == 1) for o in judged]
    found = rogan_gladen(rate(hits, [o.cluster for o in judged], name="adherence"), *judging.errors)
    if not found.estimate:
        return [*errors, replace(plain, note=found.note)]
    # The others are broken, and known to keep nothing; how many they are is as much an estimate.
    whole = rate_of(counted, "judged", lambda o: o.raw["label"] != "broken")
    return [*errors, plain, product(found.estimate, whole, name="adherence")]
