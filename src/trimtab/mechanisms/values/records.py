"""Value reinforcement records: authored preference pairs, and pairs by contrast that show a real difference.

By contrast (Yang et al. 2023, RLCD): the generator answers one prompt under a principle and under its
opposite. A pair is kept when each answer is likelier under the instruction that it was written for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.charter.charter import Charter, Principle
from trimtab.mechanisms.made import Made
from trimtab.mechanisms.values.cases import examples
from trimtab.mechanisms.writer import Writer
from trimtab.models.protocol import Answer, Messages, Question, user
from trimtab.probes.judge import judge
from trimtab.records.record import Lineage, Record, conversation, digest
from trimtab.suites.seeds import AUTHOR

CONTRAST_TOKENS = 48
LEAST_GAP = 0.15  # nats per token, for and against together
MECHANISM = "values"


def make_values(writer: Writer, charter: Charter, *, authored: int, contrast: int, time: str = "") -> Made:
    """Make preference records: up to `authored` from examples, and from `contrast` prompts those that differ."""
    known = {p.id: p for p in charter.principle}
    rows = [r for r in examples() if r["split"] == "learn" and r["principle"] in known]
    ranked = _round_robin(rows)
    records = [_authored(row, charter, writer, time) for row in ranked[:authored]]
    prompts = _round_robin(rows[::-1])[:contrast]
    return Made(records) + _by_contrast(writer, charter, [(r, known[r["principle"]]) for r in prompts], time)


def _round_robin(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Take the first of every principle, then the second …, so that any number is spread evenly."""
    place: dict[str, int] = {}
    keyed = []
    for row in rows:
        place[row["principle"]] = place.get(row["principle"], -1) + 1
        keyed.append((place[row["principle"]], row))
    return [row for _, row in sorted(keyed, key=lambda pair: pair[0])]


def _authored(row: Mapping[str, Any], charter: Charter, writer: Writer, time: str) -> Record:
    lineage = _lineage(writer, charter, "authored", AUTHOR, "{prompt}", time)
    return _record(row["prompt"], row["chosen"], row["rejected"], row["principle"], lineage)


def _record(prompt: str, chosen: str, rejected: str, principle: str, lineage: Lineage) -> Record:
    return Record(
        kind="preference", chosen=conversation(prompt, chosen), rejected=conversation(prompt, rejected),
        mechanism=MECHANISM, cell=principle, source="synthetic", lineage=lineage,
    )  # fmt: skip


def _by_contrast(
    writer: Writer, charter: Charter, asked: list[tuple[dict[str, Any], Principle]], time: str
) -> Made:
    under = [_instructed(p, row["prompt"], keep=True) for row, p in asked]
    against = [_instructed(p, row["prompt"], keep=False) for row, p in asked]
    answers = writer.write("contrast", [*under, *against], max_tokens=CONTRAST_TOKENS, temperature=0.7)
    good, bad = answers[: len(asked)], answers[len(asked) :]
    gaps = _gaps(writer, under, against, good, bad)
    made = Made()
    for i, ((row, principle), one, other, gap) in enumerate(zip(asked, good, bad, gaps, strict=True)):
        if reason := _why_not(one, other, gap):
            made.dropped[reason] += 1
        else:
            orders = [under[i][0]["content"], against[i][0]["content"]]
            lineage = _lineage(writer, charter, "contrast", writer.model.digest, orders, time)
            made.records.append(_record(row["prompt"], one.text, other.text, principle.id, lineage))
    return made


def _instructed(principle: Principle, prompt: str, *, keep: bool) -> Messages:
    example = principle.examples[0] if principle.examples else None
    shown = (example.keeps if keep else example.breaks) if example else ""
    order = principle.statement if keep else f"Do the opposite of this rule: {principle.statement}"
    text = f"{order} Answer in two sentences." + (f' In the manner of: "{shown}"' if shown else "")
    return [{"role": "system", "content": text}, *user(prompt)]


def _gaps(
    writer: Writer, under: list[Messages], against: list[Messages], good: list[Answer], bad: list[Answer]
) -> list[float | None]:
    """Return for each pair how much better each answer fits its own instruction (nats per token, summed)."""
    able = writer.model.capabilities
    if not (able.loglikelihood and able.template):
        return [None] * len(under)
    questions = []
    for for_it, against_it, one, other in zip(under, against, good, bad, strict=True):
        questions += [Question(a.text, m) for a in (one, other) for m in (for_it, against_it)]
    scores = [s.mean for s in writer.at("contrast-gaps").loglikelihood(questions)]
    return [(scores[i] - scores[i + 1]) + (scores[i + 3] - scores[i + 2]) for i in range(0, len(scores), 4)]


def _why_not(one: Answer, other: Answer, gap: float | None) -> str | None:
    if one.error or other.error:
        return "the generator gave an error"
    if "broken" in (judge(one.text), judge(other.text)):
        return "an answer is broken"
    if " ".join(one.text.lower().split()) == " ".join(other.text.lower().split()):
        return "both answers are the same"
    if gap is None:
        return "the value gap cannot be measured on this generator"
    return "no real value gap" if gap < LEAST_GAP else None


def _lineage(  # noqa: PLR0917
    writer: Writer, charter: Charter, operator: str, generator: str, template: str | list[str], time: str
) -> Lineage:
    return Lineage(
        generator=generator, operator=operator, template=digest(template), seed=str(writer.seed), depth=1,
        charter=charter.digest, time=time,
    )  # fmt: skip
