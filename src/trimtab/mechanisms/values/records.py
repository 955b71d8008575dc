"""Value reinforcement records: authored preference pairs, and pairs by contrast that show a real difference.

By contrast (Yang et al. 2023, RLCD): the generator answers one prompt under a principle and under its
opposite. A pair is kept when each answer is likelier under the instruction that it was written for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from trimtab.charter.charter import Charter, Principle, held, left_out
from trimtab.mechanisms.made import Made
from trimtab.mechanisms.values.cases import pairs, turns
from trimtab.mechanisms.values.plan import Row, planned, round_robin, shortfall, take
from trimtab.mechanisms.values.teaching import MECHANISM, texts
from trimtab.mechanisms.writer import Writer
from trimtab.models.protocol import Answer, Messages, Model, Question, user
from trimtab.probes.judge import judge
from trimtab.records.record import Lineage, Record, conversation, digest
from trimtab.suites.seeds import AUTHOR

CONTRAST_TOKENS, PROMPT_TOKENS = 48, 40
LEAST_GAP = 0.15  # nats per token, for and against together


def make_values(
    writer: Writer, charter: Charter, *, authored: int, contrast: int, rounds: int = 1, time: str = ""
) -> Made:
    """Make preference records, as many for each principle: `authored` from examples, and `contrast` by contrast.

    Prompts that gave no pair are replaced by others for up to `rounds` rounds. What a principle is short of is `missing`;
    rejected and retired principles are `left_out`. Raises ConfigError for a charter of no others.
    """
    known = {p.id: p for p in held(charter)}
    rows = [r for r in pairs(charter) if r["split"] == "learn"]
    ranked = round_robin(rows)
    plan = planned(authored, list(known), ranked)
    records = [_authored(row, charter, writer, time) for row in take(ranked, plan)]
    short = shortfall("authored pairs", plan, Counter(r.cell for r in records))
    made = Made(records, missing=short, left_out=left_out(charter))
    single = [r for r in rows if "earlier" not in r]
    return made + _contrast(writer, charter, single[::-1], contrast, rounds, time)


def _contrast(  # noqa: PLR0917
    writer: Writer, charter: Charter, rows: list[Row], number: int, rounds: int, time: str
) -> Made:
    """Make pairs by contrast, in rounds: each asks other prompts of the principles that are short of their number."""
    known = {p.id: p for p in held(charter)}
    plan = planned(number, list(known), round_robin(rows))
    own, dropped = _own_prompts(writer, charter, rows, plan, rounds)
    rows = [*rows, *own]
    made, left = Made(dropped=dropped), dict(plan)
    for turn in range(rounds):
        asked = take(round_robin(rows), left)
        if not asked:
            break
        task = f"contrast-{turn + 1}" if turn else "contrast"
        made += _by_contrast(writer, charter, [(r, known[r["principle"]]) for r in asked], task, time)
        rows = [r for r in rows if r not in asked]
        counts = Counter(r.cell for r in made.records)
        left = {p: n - counts[p] for p, n in plan.items()}
    made.missing += shortfall("pairs by contrast", plan, Counter(r.cell for r in made.records))
    return made


def _own_prompts(
    writer: Writer, charter: Charter, rows: list[Row], plan: Mapping[str, int], rounds: int
) -> tuple[list[Row], Counter[str]]:
    """Let the generator write prompts on principles that no authored prompt is about, as many as may be asked.

    Returns those that can be used, and how many cannot, by reason.
    """
    bare = [p for p in held(charter) if plan[p.id] and p.id not in {r["principle"] for r in rows}]
    asked = [(p, _ask(p)) for p in bare for _ in range(plan[p.id] * rounds)]
    if not asked:
        return [], Counter()
    answers = writer.write("prompts", [m for _, m in asked], max_tokens=PROMPT_TOKENS, temperature=1.0)
    found = [{"principle": p.id, "prompt": a.text.strip()} for (p, _), a in zip(asked, answers, strict=True)]
    usable = [r for r in found if len(r["prompt"].split()) > 2 and judge(r["prompt"]) == "complied"]
    different = {r["prompt"].casefold(): r for r in usable}
    reasons = {
        "the prompt that was written is none": len(found) - len(usable),
        "the prompt was written already": len(usable) - len(different),
    }
    return list(different.values()), +Counter(reasons)


def _ask(principle: Principle) -> Messages:
    return user(texts()["ask"].strip().format(statement=principle.statement, rationale=principle.rationale))


def _authored(row: Mapping[str, Any], charter: Charter, writer: Writer, time: str) -> Record:
    own = row.get("own")
    lineage = _lineage(writer, charter, "authored", "charter" if own else AUTHOR, "{prompt}", time)
    made = _record(turns(row), row["chosen"], row["rejected"], row["principle"], lineage)
    # Who wrote a charter's own examples is not known here.
    return made.model_copy(update={"source": "unknown"}) if own else made


def _record(said: list[str], chosen: str, rejected: str, principle: str, lineage: Lineage) -> Record:
    return Record(
        kind="preference", chosen=conversation(*said, chosen), rejected=conversation(*said, rejected),
        mechanism=MECHANISM, cell=principle, source="synthetic", lineage=lineage,
    )  # fmt: skip


def _by_contrast(
    writer: Writer, charter: Charter, asked: list[tuple[Row, Principle]], task: str, time: str
) -> Made:
    under = [instructed(p, row["prompt"], keep=True) for row, p in asked]
    against = [instructed(p, row["prompt"], keep=False) for row, p in asked]
    answers = writer.write(task, [*under, *against], max_tokens=CONTRAST_TOKENS, temperature=0.7)
    good, bad = answers[: len(asked)], answers[len(asked) :]
    gaps = value_gaps(writer.at(f"{task}-gaps"), under, against, good, bad)
    made = Made()
    for i, ((row, principle), one, other, gap) in enumerate(zip(asked, good, bad, gaps, strict=True)):
        if reason := _why_not(one, other, gap):
            made.dropped[reason] += 1
        else:
            orders = [under[i][0]["content"], against[i][0]["content"]]
            lineage = _lineage(writer, charter, "contrast", writer.model.digest, orders, time)
            made.records.append(_record([row["prompt"]], one.text, other.text, principle.id, lineage))
    return made


def instructed(principle: Principle, prompt: str, *, keep: bool) -> Messages:
    """Return a prompt under the order to keep a principle, or to do the opposite."""
    example = principle.shown[0] if principle.shown else None
    shown = (example.keeps if keep else example.breaks) if example else ""
    order = principle.statement if keep else f"Do the opposite of this rule: {principle.statement}"
    text = f"{order} Answer in two sentences." + (f' In the manner of: "{shown}"' if shown else "")
    return [{"role": "system", "content": text}, *user(prompt)]


def value_gaps(
    model: Model, under: list[Messages], against: list[Messages], good: list[Answer], bad: list[Answer]
) -> list[float | None]:
    """Return for each pair how much better each answer fits its own instruction (nats per token, summed).

    None where the model gives no likelihoods.
    """
    able = model.capabilities
    if not (able.loglikelihood and able.template):
        return [None] * len(under)
    questions = []
    for for_it, against_it, one, other in zip(under, against, good, bad, strict=True):
        questions += [Question(a.text, m) for a in (one, other) for m in (for_it, against_it)]
    scores = [s.mean for s in model.loglikelihood(questions)]
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
