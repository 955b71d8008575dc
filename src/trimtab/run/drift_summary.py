"""What a drift run came to: levels, changes against the control arm, alarms, and the risks of the data itself."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trimtab import __version__
from trimtab.charter.charter import Charter
from trimtab.errors import ConfigError, InputError, Problem
from trimtab.models.local import LocalModel
from trimtab.probes.replies import common_words, running_words, tail_coverage, vocabulary
from trimtab.records.record import digest
from trimtab.records.write import write_json
from trimtab.run.adherence import STANCE, stance_figures
from trimtab.run.directory import Stage, read_mark
from trimtab.run.drift import Drift, DriftConfig
from trimtab.run.drift_measures import scored_replies, values
from trimtab.run.measure import Bar
from trimtab.run.monitors import Measured, alarm_json, alarms, change, watch
from trimtab.statistics.intervals import mean

STARTED, REPORT = "drift.json", "drift_report.json"


def open_drift(root: Path, config: DriftConfig, model: LocalModel, bar: Bar, *, fresh: bool = False) -> Drift:
    """Return the newest drift run in `root` where it is unfinished, or a new one.

    Raises ConfigError when the unfinished one has another configuration, naming the first key.
    """
    found = [p.parent for p in sorted(root.glob(f"*_drift_*/{STARTED}"))]
    # One that is older than a finished one was given up.
    if found and not fresh and not (found[-1] / REPORT).exists():
        about = read_mark(found[-1] / STARTED, "config", "started")
        _same(found[-1], about["config"], config.model_dump(mode="json"))
        return Drift(found[-1], config, model, bar, about["started"])
    now = datetime.now(UTC)
    folder = root / f"{now:%Y%m%dT%H%M%SZ}_drift_{secrets.token_hex(3)}"
    about = {"config": config.model_dump(mode="json"), "version": __version__,
             "watch": digest(watch().model_dump(mode="json")), "started": now.isoformat(timespec="seconds")}  # fmt: skip
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        fix = "Choose a folder that can be written to with -o."
        raise InputError(Problem("drift.not-writable", str(folder), str(error), fix)) from error
    write_json(folder / STARTED, about)
    return Drift(folder, config, model, bar, about["started"])


def _same(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    for key in sorted(set(old) | set(new)):
        if old.get(key) != new.get(key):
            fix = "Use the old value, or start anew with --fresh."
            message = "differs from the unfinished run"
            raise ConfigError(Problem("drift.config-changed", f"{folder}, {key}", message, fix))


def summarise(drift: Drift) -> dict[str, Any]:
    """Return the summary of a finished run, and write it into its folder."""
    config, looks = drift.config, drift.config.generations
    common = common_words([(r.messages or ())[-1].content for r in drift.pool])
    start = drift.stage("start")
    stages = {arm: [drift.stage(arm, f"{g:02d}") for g in range(1, looks + 1)] for arm in config.arms}
    found = {arm: [values(s, common) for s in row] for arm, row in stages.items()}
    summary = {
        "config": config.model_dump(mode="json"),
        "model": {"name": drift.model.name, "digest": drift.model.digest},
        "charter": drift.charter.digest,
        "version": __version__,
        "started": drift.time,
        "watch": watch().model_dump(mode="json"),
        "levels": _levels(values(start, common), found),
        "changes": _changes(found),
        "stance": _stance({"start": [start], **stages}, drift.charter),
        "alarms": {
            arm: {m: alarm_json(a) for m, a in alarms(row, found["control"], looks=looks).items()}
            for arm, row in found.items()
            if arm != "control"
        },
        "data": {
            arm: [
                {**_data(s), "drawn": config.real_records(arm), "seen_before": drift.seen_before(arm, g)}
                for g, s in enumerate(row, 1)
            ]
            for arm, row in stages.items()
        },
        "corpus": _corpus(drift, {"start": [start], **stages}, common),
        "seconds": sum(float((s.done or {}).get("seconds", 0)) for s in _all(drift, start, stages)),
    }
    write_json(drift.folder / REPORT, summary)
    return summary


def _all(drift: Drift, start: Stage, stages: dict[Any, list[Stage]]) -> list[Stage]:
    return [start, drift.stage("values"), *(s for row in stages.values() for s in row)]


def _levels(start: Measured, found: dict[Any, list[Measured]]) -> list[dict[str, Any]]:
    """Return the estimate of every measure in every arm and generation; generation 0 is the same in all arms."""
    rows = []
    for arm, generations in found.items():
        for g, measured in enumerate([start, *generations]):
            for name, measure in watch().measure.items():
                row = measured.get(name, {})
                if len(row) > 1:
                    estimate = mean(list(row.values()), list(row), name=name, unit=measure.unit)
                    rows.append(
                        {"arm": arm, "generation": g, "monitor": measure.monitor, **estimate.to_json()}
                    )
    return rows


def _changes(found: dict[Any, list[Measured]]) -> list[dict[str, Any]]:
    """Return arm minus control for every measure and generation."""
    rows = []
    for arm, generations in found.items():
        if arm == "control":
            continue
        for g, (one, other) in enumerate(zip(generations, found["control"], strict=True), 1):
            for name, measure in watch().measure.items():
                estimate = change(name, measure, one.get(name, {}), other.get(name, {}))
                if estimate:
                    rows.append(
                        {"arm": arm, "generation": g, "monitor": measure.monitor, **estimate.to_json()}
                    )
    return rows


def _stance(stages: dict[Any, list[Stage]], charter: Charter) -> list[dict[str, Any]]:
    """Return how far each generation's stance on the charter is from the charter's, and from that of generation 0 (bits).

    No monitor alarms on it: beside the margins it says which way the model speaks of its own rules.
    """
    start = [o for o in stages["start"][0].outcomes() if o.suite == STANCE]
    rows = []
    for arm, generations in stages.items():
        for g, stage in enumerate(generations, int(arm != "start")):
            outcomes = [o for o in stage.outcomes() if o.suite == STANCE]
            found = stance_figures(outcomes, charter, start if g else ())
            rows += [{"arm": arm, "generation": g, **e.to_json()} for e in found]
    return rows


def _data(stage: Stage) -> dict[str, Any]:
    done = stage.done or {}
    return {k: done.get(k) for k in ("records", "real", "depth", "same_base_teacher", "dropped", "loss")}


def _corpus(drift: Drift, stages: dict[Any, list[Stage]], common: frozenset[str]) -> list[dict[str, Any]]:
    """Return vocabulary and coverage of real text's tail, over equally many words of every arm and generation."""
    texts = {
        (arm, g): [row["reply"] for row in scored_replies(s)]
        for arm, row in stages.items()
        for g, s in enumerate(row, int(arm != "start"))
    }
    limit = min(running_words(t) for t in texts.values())
    real = [(r.messages or ())[-1].content for r in drift.pool]
    return [
        {
            "arm": arm, "generation": g, "words": limit, "vocabulary": vocabulary(t, limit),
            "tail_coverage": tail_coverage(t, real, common, limit),
        }
        for (arm, g), t in texts.items()
    ]  # fmt: skip
