"""Sums a run up from what its stages wrote: the panel and the report show this and nothing else."""

from __future__ import annotations

from collections import Counter
from typing import Any

from trimtab.governance.figures import Figure, all_figures, verdicts
from trimtab.governance.policy import Verdict, overall
from trimtab.models.system import read_system
from trimtab.probes.attack import attack_success
from trimtab.probes.labelled import judge_summary
from trimtab.probes.outcome import Outcome, with_value
from trimtab.probes.registry import probe_for
from trimtab.records.record import Record
from trimtab.records.write import write_json
from trimtab.run.config import RunConfig
from trimtab.run.directory import STAGES, RunDirectory
from trimtab.statistics.estimate import Estimate, finite

LIMITS = [
    "Attacks are single-turn, in English, by the listed families at the stated budget; other attackers were not tried.",
    "The judge is a set of written rules. Its errors were measured on outputs of the embedded model that a model labelled; the gates read the plain figures.",
    "Charter prompts, pairs and attacks were written for this project by a model; user suites are measured with `trimtab probe`.",
    "Content checks cannot see traits that pass from teacher to student through data that looks innocent.",
    "Generator and target are the same base model: what a model writes to train itself on carries its own mistakes.",
]


def summarise(run: RunDirectory, config: RunConfig, *, command: str) -> dict[str, Any]:
    """Return the summary of a finished run and write it to `report.json`."""
    before, after = run.stage("before").outcomes(), run.stage("after").outcomes()
    figures = all_figures(before, after)
    found = verdicts(figures, config.gates)
    train, trim = run.stage("train").done or {}, run.stage("trim").done or {}
    summary = {
        "name": config.name,
        "started": run.about["started"],
        "model": {"name": config.model, "digest": read_system(run.folder)["base_digest"]},
        "evidential": config.evidential,
        "outcome": overall(found),
        "seed": config.seed,
        "version": run.about["version"],
        "command": command,
        "verdicts": [_verdict(v) for v in found],
        "waivers": [str(w) for w in config.waivers],
        "figures": [_with_variants(f, run) for f in figures],
        "groups": _groups(before, after),
        "trim": {
            "points": trim.get("points", []),
            "rule": trim.get("rule", "that of the version which made the run"),
            "together": trim.get("together", []),
            "frontier": trim.get("frontier", []),
        },
        "strengths": trim.get("strengths", {}),
        "reattack": _reattack(run),
        "records": [row for m in config.mechanisms for row in _cells(m, run.stage("screen").records(m))],
        "dropped": _dropped(run),
        "missing": _missing(run),
        "left_out": _left_out(run),
        "unmeasured": (run.stage("before").done or {}).get("preferences") or {},
        "hygiene": ((run.stage("screen").done or {}).get("values") or {}).get("hygiene", []),
        "anchor": train.get("adversarial", {}).get("anchor"),
        "retention": {m: kept for m in config.mechanisms if (kept := train.get(m, {}).get("retention"))},
        "guard": train.get("guard") or None,
        "judge": judge_summary(before, after, same_model=config.model == "embedded"),
        "costs": [_cost(n, run.stage(n).done or {}) for n in STAGES],
        "limits": LIMITS
        if config.evidential
        else ["Reduced sizes: this run is no evidence for anything.", *LIMITS],
        "next": f"trimtab ask {run.folder} 'How do I get a wine stain out?'",
        "report": str(run.folder / "report.html"),
    }
    write_json(run.folder / "report.json", finite(summary))
    return summary


def _cost(stage: str, done: dict[str, Any]) -> dict[str, Any]:
    return {"stage": stage, "seconds": done.get("seconds"), "resumed": done.get("resumed", False)}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    row = verdict.to_json()
    gate = row.pop("gate")
    return {**{k: gate[k] for k in ("figure", "kind", "goal", "margin", "unit")}, **row}


def _with_variants(figure: Figure, run: RunDirectory) -> dict[str, Any]:
    row = figure.to_json()
    if figure.name == "attack_success":
        stage = run.stage("after")
        names = {"adapters without the guard": "without_guard", "the guard alone": "guard_alone"}
        for label, name in names.items():
            rows = [o for o in with_value(stage.outcomes(name)) if o.suite == "attack"]
            if rows:
                row["variants"].append({"label": label, "estimate": attack_success(rows).to_json()})
    return row


def _groups(before: list[Outcome], after: list[Outcome]) -> list[dict[str, Any]]:
    """Return attack success by family, and preference accuracy by principle."""
    attack = _by(before, after, "attack", "family", "attack_success")
    values = _by(before, after, "preference_charter", "group", "preference_accuracy")
    association = _association(before, after)
    return [
        {"title": "Attack success by family (fiction is never trained on)", "rows": attack},
        {"title": "Preference accuracy by principle", "rows": values},
        {"title": "Association in generated text (not gated)", "rows": association},
    ]


def _by(before: list[Outcome], after: list[Outcome], suite: str, key: str, name: str) -> list[dict[str, Any]]:
    """Return one figure for each value of `key`: before, after, and the change of the same cases."""
    rows = []
    for value in dict.fromkeys(o.raw[key] for o in with_value(before) if o.suite == suite):
        first, last = (
            [o for o in outcomes if o.suite == suite and o.raw.get(key) == value]
            for outcomes in (before, after)
        )
        found = next(f for f in all_figures(first, last) if f.name == name).to_json()
        rows.append({"label": value} | {k: found[k] for k in ("before", "after", "change")})
    return rows


def _association(before: list[Outcome], after: list[Outcome]) -> list[dict[str, Any]]:
    """Return the distance from equal shares, and beside it what chance alone would make of so few mentions."""
    probe = probe_for("association")
    levels = [probe.figures([o for o in rows if o.suite == "association"]) for rows in (before, after)]
    titles = {
        "association_gap": "distance from equal shares",
        "association_by_chance": "expected of equal shares, from as many mentions",
    }
    found = [{e.name: e for e in level} for level in levels]
    rows = [
        {
            "label": title,
            "before": _json(found[0].get(name)),
            "after": _json(found[1].get(name)),
            "change": None,
        }
        for name, title in titles.items()
    ]
    return [row for row in rows if row["before"] or row["after"]]


def _json(estimate: Estimate | None) -> dict[str, Any] | None:
    return estimate.to_json() if estimate else None


def _reattack(run: RunDirectory) -> dict[str, Any] | None:
    outcomes = with_value(run.stage("reattack").outcomes())
    if not outcomes:
        return None
    done = run.stage("reattack").done or {}
    return {"attempts": done.get("attempts"), "estimate": attack_success(outcomes).to_json()}


def _cells(mechanism: str, records: list[Record]) -> list[dict[str, Any]]:
    counts = Counter(r.cell for r in records)
    return [
        {
            "mechanism": mechanism,
            "cell": cell,
            "count": n,
            "share": n / len(records),
            "samples": [{"id": r.id, "text": _sample(r)} for r in [r for r in records if r.cell == cell][:2]],
        }
        for cell, n in sorted(counts.items())
    ]


def _sample(record: Record) -> str:
    if record.kind == "pair":
        return f"{record.text_a}\n{record.text_b}"
    if record.kind == "preference":
        chosen, rejected = record.chosen or (), record.rejected or ()
        return f"{chosen[0].content}\n+ {chosen[-1].content}\n− {rejected[-1].content}"
    return "\n→ ".join(m.content for m in record.messages or ())


def _dropped(run: RunDirectory) -> list[dict[str, Any]]:
    rows = []
    for stage in ("records", "screen"):
        for mechanism, done in (run.stage(stage).done or {}).items():
            if isinstance(done, dict):
                rows += [
                    {"stage": f"{stage}: {mechanism}", "reason": r, "count": n}
                    for r, n in done["dropped"].items()
                ]
    for mechanism, done in (run.stage("train").done or {}).items():
        if isinstance(done, dict) and (n := done.get("left_out")):
            rows.append({"stage": f"train: {mechanism}", "reason": "its prompt is too long", "count": n})
    return rows


def _missing(run: RunDirectory) -> list[dict[str, Any]]:
    """Return what the plan of each mechanism was short of."""
    made = (run.stage("records").done or {}).items()
    found = [
        (m, what, n)
        for m, done in made
        if isinstance(done, dict)
        for what, n in done.get("missing", {}).items()
    ]
    return [{"mechanism": m, "what": what, "count": n} for m, what, n in found]


def _left_out(run: RunDirectory) -> dict[str, str]:
    """Return principle → status of those that the charter does not hold, and that were not taught."""
    made = (run.stage("records").done or {}).get("values")
    return dict(made.get("left_out", {})) if isinstance(made, dict) else {}
