"""The anchor: real human-written text that is mixed into training, so that synthetic data is never all there is."""

from __future__ import annotations

from collections.abc import Iterable

from trimtab.records.record import Lineage, Record, conversation
from trimtab.suites.text import SOURCE, python_documentation


def anchor_records(number: int, *, mechanism: str, time: str = "") -> list[Record]:
    """Return up to `number` records of real text from the `learn` split, spread over its topics."""
    cases = [c for c in python_documentation().cases if c.split == "learn"]
    step = max(1, len(cases) // number) if number else 1
    lineage = Lineage(operator="anchor", template=python_documentation().digest, time=time)
    return [
        Record(
            kind="sft", messages=conversation(c.prompt[0]["content"], c.body), mechanism=mechanism, cell="anchor",
            source="human", lineage=lineage,
        )
        for c in cases[::step][:number]
    ]  # fmt: skip


def anchor_about(records: int, anchors: int) -> dict[str, object]:
    """Describe the anchor of a training set: its share, source and digest."""
    share = anchors / (records + anchors) if records + anchors else 0.0
    return {"share": share, "source": SOURCE, "digest": python_documentation().digest}


def own_answers(records: Iterable[Record], model: str) -> list[Record]:
    """Return the answers among `sft` records that the model of a digest wrote itself."""
    return [r for r in records if r.kind == "sft" and r.lineage.generator == model]


def refusals(records: Iterable[Record]) -> list[Record]:
    """Return the `sft` records whose reply declines a harmful request, plain or wrapped, by their cell."""
    return [r for r in records if r.kind == "sft" and (r.cell or "").endswith("/harmful")]


def retention_about(real: int, own: int, refused: int, loops: float) -> dict[str, object]:
    """Describe the texts that training keeps to the bare model on: real ones, their source and digest, own answers, refusals; and the weight of loops made of them."""
    source = {"source": SOURCE, "digest": python_documentation().digest}
    weight = loops if real + own + refused else 0.0
    return {"texts": real, "answers": own, "refusals": refused, "loops": weight, **source}
