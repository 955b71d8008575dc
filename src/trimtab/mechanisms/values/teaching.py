"""Records that teach the reason: documents about a principle, and demonstrations that say why.

Documents are composed of the charter's own words, in several forms; demonstrations are authored prompts with the
wanted reply, every second one with the question why and the principle's rationale.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from string import Formatter
from typing import Any

from trimtab.charter.charter import UNWRITTEN, Charter, Principle, held, left_out, read_charter
from trimtab.mechanisms.made import Made
from trimtab.mechanisms.values.cases import pairs, turns
from trimtab.mechanisms.values.plan import planned, round_robin, shortfall, take
from trimtab.mechanisms.writer import Writer
from trimtab.records.record import Lineage, Message, Record, Source, conversation, digest
from trimtab.suites.seeds import AUTHOR

MECHANISM = "values"


@cache
def texts() -> dict[str, Any]:
    """Return what teaching.toml says."""
    return tomllib.loads(files(__package__).joinpath("teaching.toml").read_text(encoding="utf-8"))


def make_teaching(
    writer: Writer, charter: Charter, *, documents: int, demonstrations: int, time: str = ""
) -> Made:
    """Make up to `documents` and `demonstrations`, as many for each principle; what is short of that is stated.

    Rejected and retired principles are `left_out`. Raises ConfigError for a charter of no others.
    """
    about = Lineage(
        generator=AUTHOR, seed=str(writer.seed), depth=1, charter=charter.digest, time=time
    )  # fmt: skip
    made = _documents(charter, documents, about) + _demonstrations(charter, demonstrations, about)
    return made + Made(left_out=left_out(charter))


def _documents(charter: Charter, number: int, about: Lineage) -> Made:
    rows = [
        {"principle": p.id, "text": text, "template": template}
        for p in held(charter)
        for template, text in _written(p)
    ]
    ranked = round_robin(rows)
    plan = planned(number, [p.id for p in held(charter)], ranked)
    # A charter of one's own is in people's words, around which a model wrote the form.
    source: Source = "synthetic" if charter.digest == read_charter().digest else "mixed"
    records = [_document(row, source, about) for row in take(ranked, plan)]
    return Made(records, missing=shortfall("documents", plan, Counter(r.cell for r in records)))


def _written(principle: Principle) -> Iterator[tuple[str, str]]:
    """Yield every document about a principle with its template: one for each form, and for each example in it.

    None while its reason is unwritten, as in a draft.
    """
    if principle.rationale == UNWRITTEN:
        return
    plain = {
        "title": principle.id.replace("-", " ").capitalize(),
        "topic": principle.id.replace("-", " "),
        "statement": principle.statement,
        "rationale": principle.rationale,
    }
    if principle.specifics:
        plain["specifics"] = "\n".join(f"- {s}" for s in principle.specifics)
    examples = principle.shown
    for number in range(max(1, len(examples))):
        shown = examples[number].model_dump(exclude_none=True) if examples else {}
        for template in texts()["documents"]:
            fields = {name for _, name, _, _ in Formatter().parse(template) if name}
            if fields <= {*plain, *shown} and (number == 0 or fields & {*shown}):
                yield template, template.strip().format(**plain, **shown)


def _document(row: dict[str, Any], source: Source, about: Lineage) -> Record:
    lineage = about.model_copy(update={"operator": "document", "template": digest(row["template"])})
    return Record(
        kind="document", messages=(Message(role="assistant", content=row["text"]),), mechanism=MECHANISM,
        cell=row["principle"], source=source, lineage=lineage,
    )  # fmt: skip


def _demonstrations(charter: Charter, number: int, about: Lineage) -> Made:
    known = {p.id: p for p in held(charter)}
    rows = [r for r in pairs(charter) if r["split"] == "learn"]
    ranked = round_robin(rows)
    plan = planned(number, list(known), ranked)
    seen: Counter[str] = Counter()
    records = []
    for row in take(ranked, plan):
        records.append(_demonstration(row, known[row["principle"]], seen[row["principle"]], about))
        seen[row["principle"]] += 1
    return Made(records, missing=shortfall("demonstrations", plan, seen))


def _demonstration(row: dict[str, Any], principle: Principle, number: int, about: Lineage) -> Record:
    said, template = [*turns(row), row["chosen"]], "{prompt}"
    if number % 2 and principle.rationale != UNWRITTEN:
        why, because = (texts()[key][number // 2 % len(texts()[key])] for key in ("why", "because"))
        reason = because.format(rationale=principle.rationale, statement=principle.statement)
        said, template = [*said, why, reason], f"{{prompt}} {why} {because}"
    lineage = about.model_copy(update={"operator": "demonstration", "template": digest(template)})
    source: Source = "mixed" if row.get("own") else "synthetic"
    return Record(
        kind="sft", messages=conversation(*said), mechanism=MECHANISM, cell=principle.id, source=source,
        lineage=lineage,
    )  # fmt: skip
