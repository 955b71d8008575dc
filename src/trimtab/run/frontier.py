"""The calibration frontier of the values adapter on `tune`: adherence, open-world text and over-refusal at each strength.

The sweep of `trim` chooses on two of these as points; here all three have intervals, and their paired changes against strength 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.governance.figures import all_figures
from trimtab.models.batched import Batched
from trimtab.models.local import LocalModel
from trimtab.models.system import adapter_folder
from trimtab.probes.outcome import Outcome
from trimtab.probes.registry import probe_for
from trimtab.run.config import FRONTIER_TWINS
from trimtab.run.measure import Bar, Suites
from trimtab.statistics.estimate import finite
from trimtab.suites.splits import spread

SHOWN = ("preference_accuracy", "nll_per_token", "refusal_twins")


def frontier(  # noqa: PLR0917
    model: LocalModel, run: Path, strengths: Sequence[float], suites: Suites, bar: Bar, folder: Path | None = None
) -> list[dict[str, Any]]:  # fmt: skip
    """Return a point for each strength, 0 first: figure → level, and its paired change against strength 0.

    What the sweep answered in `folder` is not asked again.
    """
    kind, twins = suites["twins"]
    scored = {n: suites[n] for n in ("preference_charter", "text")}
    # Of a few twins, so not under the name by which the sweep keeps its answers to all of them.
    few = {**scored, "twins-few": (kind, spread(twins, FRONTIER_TWINS))}
    items = {c.id for _, cases in few.values() for c in cases}
    points, bare = [], list[Outcome]()
    for strength in (0.0, *strengths):
        model.set_adapters({adapter_folder(run, "values"): strength})
        kept = folder and folder / (f"values-{strength:g}" if strength else "bare")
        # The bare model has answered all twins already where another adapter's sweep asked them.
        asked = few if strength else {**scored, "twins": suites["twins"]}
        rows = _outcomes(model, asked, f"frontier: values × {strength:g}", bar, kept)
        found = [o for o in rows if o.item in items]
        bare = bare or found
        points.append({"strength": strength, **_figures(bare, found)})
    model.set_adapters({})
    return points


def _outcomes(
    model: LocalModel, suites: Mapping[str, Any], title: str, bar: Bar, folder: Path | None
) -> list[Outcome]:
    found: list[Outcome] = []
    for name, (kind, cases) in suites.items():
        asked = Batched(model, folder and folder / name)
        progress = bar(f"{title}: {name}", len(cases))
        found += probe_for(kind).measure(asked, cases, system="tune", progress=progress)
    return found


def _figures(bare: Sequence[Outcome], found: Sequence[Outcome]) -> dict[str, Any]:
    figures = {f.name: f for f in all_figures(bare, found)}
    return {
        name: {
            "level": finite(f.after.to_json()) if (f := figures[name]).after else None,
            "change": finite(f.change.to_json()) if f.change else None,
        }
        for name in SHOWN
    }
