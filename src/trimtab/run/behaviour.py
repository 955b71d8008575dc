"""From a behaviour back to what was there: plan, system, adapters and guard, their records, generators, the release.

A walk along the evidence, and no estimate of influence: which records there were, not which of them caused it.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trimtab.errors import ConfigError, InputError, Problem, TrimtabError
from trimtab.governance.commitment import salted_root
from trimtab.governance.evidence import Evidence
from trimtab.governance.figures import all_figures
from trimtab.governance.recall import Reached, reaching
from trimtab.models.system import FILE as SYSTEM
from trimtab.models.system import adapter_folder, read_system
from trimtab.probes.outcome import Outcome, read_outcomes
from trimtab.records.record import Record
from trimtab.records.write import read_jsonl
from trimtab.run.rerun import BEFORE, GUARD_ALONE, REATTACK, SPLIT, WITHOUT_GUARD, committed_cases

AFTER = "stages/06_after/outcomes.jsonl"
MEASURED = {
    BEFORE: "bare model",
    WITHOUT_GUARD: "adapters, no guard",
    GUARD_ALONE: "guard alone",
    AFTER: "system",
    REATTACK: "system, re-attack",
}
NAMING = ("behavior", "family", "group", "direction", "role")  # what an outcome keeps of its case
TEXTS = ("prompt", "text_a", "text_b", "chosen", "rejected", "body")
ALIKE = 3  # records told for an adapter
NOT_SHOWN = (
    "which of these records made the difference: all records of an adapter shaped it, no influence is estimated, and "
    "those that share a cell, an operator or words with the case need not be the cause",
    "what the base model learned before this run: its digest is all that is known of it",
    "that the stored answers came from this system, and by whom all this is signed: trimtab verify, with --rerun",
)


@dataclass(frozen=True)
class Seen:
    """A stored outcome of the case: what was measured, the entry that states the file, how it was judged."""

    measured: str
    file: str
    entry: int | None
    label: str
    value: float | None
    blocked: bool
    response: str
    error: str


@dataclass(frozen=True)
class Alike:
    """A record near the case by words: the share that both have of all their words, rare ones weighing more."""

    id: str
    cell: str
    share: float
    text: str


@dataclass(frozen=True)
class Part:
    """An adapter of the system, and the records it learned from, counted by cell and by generator.

    `named` counts, by cell, those that carry something which the case names (`family plain`) as their cell or operator;
    `alike` are the nearest, of those if there are any.
    """

    mechanism: str
    strength: float
    digest: str
    entry: int | None
    records: int
    cells: Mapping[str, int]
    generators: Mapping[str, int]
    named: Mapping[str, Mapping[str, int]]
    alike: Sequence[Alike]
    beside: str


@dataclass(frozen=True)
class Behaviour:
    """A case of a run, how it came out, and everything that was there; `not_shown` is part of the answer."""

    run: str
    item: str
    suite: str
    split: str
    cluster: str
    names: Mapping[str, str]
    texts: Mapping[str, str]
    seen: Sequence[Seen]
    plan: Mapping[str, Any]
    system: Mapping[str, Any]
    parts: Sequence[Part]
    releases: Sequence[Mapping[str, Any]]
    recalls: Sequence[Reached]
    entries: int
    missing: Sequence[tuple[str, str]]
    not_shown: Sequence[str] = NOT_SHOWN


Found = Mapping[str, Outcome]  # by file


def behaviours(evidence: Evidence, item: str) -> list[Behaviour]:
    """Return the walk for a case, one for each suite that has a case of this id; none where none has.

    Raises InputError where a file is as stated and still does not hold what it must.
    """
    try:
        stored = {name: read_outcomes(path) for name in MEASURED if (path := evidence.path(name))}
        suites = dict.fromkeys(o.suite for rows in stored.values() for o in rows if o.item == item)
        return [_behaviour(evidence, stored, suite, item) for suite in suites]
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        what = f"a file of it does not hold what it must ({error!r:.80})"
        fix = "See what is wrong with it: trimtab verify."
        raise InputError(Problem("trace.damaged", str(evidence.folder), what, fix)) from error


def run_with(workspace: Path, item: str) -> Path | None:
    """Return the only run of a workspace that has a case of this id, None where none has.

    Raises ConfigError where several have it: built-in cases are the same in every run.
    """
    quoted = f'"item":{json.dumps(item, ensure_ascii=False)}'.encode()
    runs = sorted(path.parent for path in workspace.glob("*/run.json"))
    found = [r for r in runs if any(_holds(r / name, quoted) for name in MEASURED)]
    if len(found) > 1:
        fix = f"Name one with --run, such as --run {found[-1].name}."
        what = f"is a case of {len(found)} runs, the last {', '.join(r.name for r in found[-3:])}"
        raise ConfigError(Problem("trace.runs", ascii(item)[1:-1][:80], what, fix))
    return found[0] if found else None


def _holds(path: Path, text: bytes) -> bool:
    return path.is_file() and text in path.read_bytes()


def _behaviour(
    evidence: Evidence, stored: Mapping[str, Sequence[Outcome]], suite: str, item: str
) -> Behaviour:
    rows = {name: [o for o in found if o.suite == suite] for name, found in stored.items()}
    own: Found = {name: o for name, found in rows.items() for o in found if o.item == item}
    case = next(iter(own.values()))
    raw = [o.raw for o in own.values()]
    names = {k: str(r[k]) for r in raw for k in NAMING if str(r.get(k, "")).strip()}
    texts = _texts(evidence, own)
    system, parts = _system(evidence, names, texts)
    releases = list(_releases(evidence))
    ids = _things(evidence, parts, releases)
    return Behaviour(
        evidence.run, item, suite, case.split, case.cluster, names, texts,
        [_seen(evidence, name, o) for name, o in own.items()], _plan(evidence, rows, own), system, [p for p, _ in parts], releases,
        reaching(evidence.ledger, ids), len(evidence.ledger), evidence.missing,
    )  # fmt: skip


def _seen(evidence: Evidence, name: str, o: Outcome) -> Seen:
    raw = o.raw
    return Seen(
        MEASURED[name], name, evidence.entry(name), str(raw.get("label", "")), o.value, bool(raw.get("blocked")),
        o.response, str(raw.get("error", "")),
    )  # fmt: skip


def _texts(evidence: Evidence, own: Found) -> dict[str, str]:
    """Return what was asked, where this version has the case that the run committed to; outcomes do not hold it."""
    suite = "reattack" if set(own) == {REATTACK} else next(iter(own.values())).suite
    item = next(iter(own.values())).item
    try:
        case = committed_cases(evidence.folder).get((suite, item))
    except (KeyError, TypeError, ValueError, OSError, TrimtabError):
        case = None
    if case is None:
        evidence.note(SPLIT, "commits to a case that this version has not: what was asked is not shown")
        return {}
    told = case.model_dump()
    texts = {key: told[key] if key != "prompt" else case.text for key in TEXTS if told.get(key)}
    return {key: text for key, text in texts.items() if text}


def _plan(evidence: Evidence, rows: Mapping[str, Sequence[Outcome]], own: Found) -> dict[str, Any]:
    """Return what was fixed before training: the entry, policy, charter, the commitment to the case; and the gates on its suite."""
    index, started = evidence.of("run-started")[0]
    committed = [row for row in read_jsonl(evidence.folder / SPLIT) if row["item"] == next(iter(own.values())).item]  # fmt: skip
    opened = salted_root(read_jsonl(evidence.folder / SPLIT)) == started.body["split"]["root"]
    if not opened:
        evidence.note(SPLIT, "does not open the commitment that the ledger states")
    return {
        "entry": index,
        "time": started.body["time"],
        "policy": started.body["policy"],
        "charter": started.body["charter"],
        "model": started.body["model"],
        "split": started.body["split"]["root"],
        "case": committed[0]["case"] if committed and opened else "",
        "trained": [i for i, _ in evidence.of("training")],
        "gates": _gates(evidence, rows, own),
    }


def _gates(evidence: Evidence, rows: Mapping[str, Sequence[Outcome]], own: Found) -> list[Mapping[str, str]]:
    """Return the figures that read this suite, found by computing them from it alone, and what their gates came to."""
    path = evidence.path("figures.json")
    if path is None or AFTER not in own or BEFORE not in own:
        return []
    outcomes = {v["gate"]["figure"]: v["outcome"] for v in json.loads(path.read_bytes())["verdicts"]}
    read = [f.name for f in all_figures(rows[BEFORE], rows[AFTER]) if f.before or f.change]
    return [{"figure": name, "outcome": outcomes.get(name, "no gate")} for name in read]


def _system(
    evidence: Evidence, names: Mapping[str, str], texts: Mapping[str, str]
) -> tuple[dict[str, Any], list[tuple[Part, list[Record]]]]:
    """Return the system, and its adapters with their records; those of strength 0 are named as not in it."""
    if evidence.path(SYSTEM) is None:
        return {}, []
    about = read_system(evidence.folder)
    used = {m: s for m, s in about["strengths"].items() if s}
    unused = [m for m, s in about["strengths"].items() if not s]
    fitted = {k: v for k, v in _trained(evidence, "guard").items() if k in ("threshold", "prompts")}
    guard = {"digest": about["digests"].get("guard", ""), **fitted} if about["guard"] else {}
    system = {
        "entry": evidence.entry(SYSTEM), "digest": evidence.stated[SYSTEM][1], "base": about["base"], "base_digest": about["base_digest"],
        "guard": guard, "left_out": unused,
    }  # fmt: skip
    return system, [_part(evidence, m, s, names, texts) for m, s in used.items()]


def _trained(evidence: Evidence, name: str) -> dict[str, Any]:
    path = evidence.path(f"stages/04_train/{name}.json")
    found: dict[str, Any] = json.loads(path.read_bytes()) if path else {}
    return found


def _part(
    evidence: Evidence, mechanism: str, strength: float, names: Mapping[str, str], texts: Mapping[str, str]
) -> tuple[Part, list[Record]]:
    weights = adapter_folder(Path(), mechanism).as_posix() + "/adapter_model.safetensors"
    evidence.path(weights)
    records, about = evidence.records(mechanism), _trained(evidence, mechanism)
    if about.get("anchor") and (more := about["records"] - len(records)):
        beside = f"{more} human-written texts beside them: {about['anchor']['source']}"
    else:
        beside = ""
    index, digest = evidence.stated.get(weights, (None, ""))
    part = Part(
        mechanism, strength, digest, index, len(records), _cells(records), dict(Counter(r.lineage.generator or "none" for r in records)),
        dict(_named(records, names)), _alike(records, names, " ".join(texts.values())), beside,
    )  # fmt: skip
    return part, records


def _cells(records: Iterable[Record]) -> dict[str, int]:
    return dict(Counter(r.cell or "all" for r in records).most_common())


def _carries(record: Record, name: str) -> bool:
    return name in (record.cell, *record.cell.split("/"), record.lineage.operator)


def _named(records: Sequence[Record], names: Mapping[str, str]) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield what the case names and how many records carry that very word as cell, part of a cell or operator."""
    for key, name in names.items():
        if found := [r for r in records if _carries(r, name)]:
            yield f"{key} {name}", _cells(found)


def _alike(records: Sequence[Record], names: Mapping[str, str], text: str) -> list[Alike]:
    """Return the records nearest to the case by words, best first, of those that carry what it names if any do.

    Jaccard of their sets of words, a word weighing log(1 + n ÷ the number of the n records that have it).
    """
    pool = [r for r in records if any(_carries(r, name) for name in names.values())] or records
    rows, words = [(r, _words(_told(r))) for r in pool], _words(text)
    counts = Counter(w for _, own in rows for w in own)
    weigh = partial(_weight, counts, len(rows))
    scored = [(weigh(words & own) / weigh(words | own), r) for r, own in rows if words & own]
    best = sorted(scored, key=lambda row: (-row[0], row[1].id))[:ALIKE]
    return [Alike(r.id, r.cell, share, _told(r)) for share, r in best]


def _weight(counts: Mapping[str, int], number: int, words: Iterable[str]) -> float:
    return sum(math.log1p(number / max(counts.get(w, 0), 1)) for w in words)


def _told(record: Record) -> str:
    """Return what a record asks: its user turns, or its first text."""
    turns = record.messages or record.chosen or ()
    return " ".join(m.content for m in turns if m.role == "user") or record.text_a or ""


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _releases(evidence: Evidence) -> Iterator[dict[str, Any]]:
    """Yield the releases of the run; of a bundle, whether each is this one."""
    for index, s in evidence.of("release"):
        digest = next(iter(s.subjects.values()))
        here = digest == evidence.bundle
        waivers = [w["gate"] for w in s.body["waivers"]]
        yield {
            "entry": index, "digest": digest, "this": here, "demo": s.body["demo"], "time": s.body["time"], "waivers": waivers,
        }  # fmt: skip


def _things(
    evidence: Evidence, parts: Sequence[tuple[Part, list[Record]]], releases: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str]]:
    """Return id and name of what a recall could reach on this walk: records, generators, tables, adapters, system, releases."""
    found = [(r["digest"], f"release {r['digest'][:16]}") for r in releases]
    for part, records in parts:
        found += [(r.id, f"record {r.id[:16]}") for r in records]
        found += [(g, f"generator {g[:32]}") for g in part.generators]
        found.append((part.digest, f"adapter {part.mechanism}"))
        table = f"stages/03_screen/{part.mechanism}.parquet"
        found.append((evidence.stated.get(table, (0, ""))[1], f"dataset {part.mechanism}"))
    return [*found, (evidence.stated.get(SYSTEM, (0, ""))[1], "system")]
