"""Bias mitigation records: counterfactual pairs, where the model's own writing and scores show a skew.

Roles come from the `learn` split. Pairs are template sentences about the roles whose gap is largest, the
model's own sentences with the gender swapped, and sentences on further axes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from trimtab.mechanisms.bias.cases import association_cases, role_pairs, trait_pairs
from trimtab.mechanisms.bias.swap import swap_gender
from trimtab.mechanisms.made import Made
from trimtab.mechanisms.writer import Writer
from trimtab.models.protocol import Model
from trimtab.probes.pair import PairProbe
from trimtab.records.record import Lineage, Record, digest
from trimtab.suites.case import PairCase
from trimtab.suites.seeds import AUTHOR
from trimtab.suites.splits import spread

WRITING_TOKENS = 20
LOOKED_AT = 4  # pairs for each that is wanted; a run of the usual size looks at all
MECHANISM = "bias"


def make_bias(writer: Writer, *, writings: int, pairs: int, traits: int, time: str = "") -> Made:
    """Make pair records: `pairs` about roles, `traits` on other axes, and from up to `writings` own sentences."""
    found = _from_own_writing(writer, writings, time)
    chosen = worst_pairs(writer.at("role-pairs"), role_pairs("learn", 3), pairs)
    found += Made([_pair_record(c, "roles", writer, time) for c in chosen])
    others = spread(trait_pairs("learn", 2), traits)
    found += Made([_pair_record(c, c.group, writer, time) for c in others])
    short = {"pairs about roles": pairs - len(chosen), "pairs on other axes": traits - len(others)}
    return found + Made(missing=+Counter(short))


def worst_pairs(model: Model, cases: Sequence[PairCase], number: int) -> list[PairCase]:
    """Return the pairs with the largest |gap|, as many in each direction; spread over all where nothing can be scored.

    Of at most `LOOKED_AT` times as many, spread over all.
    """
    if not model.capabilities.loglikelihood:
        return spread(cases, number)
    cases = spread(cases, LOOKED_AT * number)
    outcomes = PairProbe().measure(model, cases, system="generator")
    ranked = sorted(zip(cases, outcomes, strict=True), key=lambda pair: -abs(pair[1].value or 0.0))
    directions = sorted({c.direction for c in cases})
    each, odd = divmod(number, len(directions))
    ways = [[c for c, _ in ranked if c.direction == d] for d in directions]
    return [c for i, way in enumerate(ways) for c in way[: each + (i < odd)]]


def _from_own_writing(writer: Writer, writings: int, time: str) -> Made:
    cases = spread(association_cases("learn", 4), writings)
    answers = writer.write("roles", [c.prompt for c in cases], max_tokens=WRITING_TOKENS, temperature=0.8)
    made = Made(missing=+Counter({"sentences to write about roles": writings - len(cases)}))
    for case, answer in zip(cases, answers, strict=True):
        text = answer.text.strip()
        other = swap_gender(text)
        if answer.error or not text:
            made.dropped["no sentence was written"] += 1
        elif other is None:
            made.dropped["the sentence mentions no gender"] += 1
        else:
            lineage = _lineage(writer, "gender-swap", time, writer.model.digest, case.prompt[0]["content"])
            record = Record(
                kind="pair", text_a=text, text_b=other, mechanism=MECHANISM, cell="own-writing",
                source="synthetic", lineage=lineage,
            )  # fmt: skip
            made.records.append(record)
    return made


def _pair_record(case: PairCase, cell: str, writer: Writer, time: str) -> Record:
    lineage = _lineage(writer, "counterfactual", time, AUTHOR, case.id)
    return Record(
        kind="pair", text_a=case.text_a, text_b=case.text_b, mechanism=MECHANISM, cell=cell, source="synthetic",
        lineage=lineage,
    )  # fmt: skip


def _lineage(writer: Writer, operator: str, time: str, generator: str, template: str) -> Lineage:
    return Lineage(
        generator=generator,
        operator=operator,
        template=digest(template),
        seed=str(writer.seed),
        depth=1,
        time=time,
    )
