"""Trim: sweeps the strength of each adapter alone on `tune`, and chooses the operating point by rule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.models.batched import Batched
from trimtab.models.local import LocalModel
from trimtab.models.system import adapter_folder
from trimtab.probes.outcome import Outcome, with_value
from trimtab.probes.preference import margin
from trimtab.probes.registry import probe_for
from trimtab.run import together
from trimtab.run.measure import Bar, Suites

RULE = (
    "for each adapter, the strength with the best effect whose cost on `tune` stays within the limit; "
    "the smaller strength on a tie; 0, which leaves the adapter out, where none is better than the bare model; "
    f"{together.RULE}"
)
# mechanism → effect (suite, name), cost (suite, name), limit on the rise of the cost
WHAT: Mapping[str, tuple[tuple[str, str], tuple[str, str], float]] = {
    "adversarial": (("attack", "attack success"), ("twins", "refusal of benign twins"), 0.10),
    "bias": (("pair_roles", "|pair gap|"), ("text", "rise of nll per token"), 0.005),
    "values": (
        ("preference_charter", "margin of the unwanted reply (nats per token)"),
        ("text", "rise of nll per token"),
        0.01,  # with that of the bias adapter it stays within what the gate allows
    ),
}

# suite → kind, figure
FIGURES: Mapping[str, tuple[str, str]] = {
    "attack": ("attack", "attack_success"),
    "twins": ("benign", "refusal"),
    "pair_roles": ("pair", "gap"),
    "text": ("text", "nll_per_token"),
}


def sweep(  # noqa: PLR0917
    model: LocalModel, run: Path, mechanisms: Sequence[str], strengths: Mapping[str, Sequence[float]], suites: Suites,
    bar: Bar, folder: Path | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return a point for each adapter and strength, strength 0 first; effects and costs are lower when better.

    One that could not be measured is None.

    With a `folder`, what was answered is kept there for each point and suite, and not asked again.
    """
    points = []
    for mechanism in mechanisms:
        (effect, effect_name), (cost, cost_name), limit = WHAT[mechanism]
        measured = []
        for strength in (0.0, *strengths[mechanism]):
            model.set_adapters({adapter_folder(run, mechanism): strength})
            name = f"trim: {mechanism} × {strength:g}"
            # At strength 0 every mechanism is the bare model, which is asked once.
            kept = folder and folder / (f"{mechanism}-{strength:g}" if strength else "bare")
            e, c = (_figure(n, _outcomes(model, suites, n, name, bar, kept)) for n in (effect, cost))
            measured.append((strength, e, c))
        model.set_adapters({})
        chosen = choose(measured, limit, relative=cost == "text")
        for strength, e, c in measured:
            about = {"mechanism": mechanism, "strength": strength, "chosen": strength == chosen}
            named = {
                "effect": _known(e),
                "effect_name": effect_name,
                "cost": _known(c),
                "cost_name": cost_name,
            }
            points.append({**about, **named})
    return points


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def choose(points: Sequence[tuple[float, float, float]], limit: float, *, relative: bool) -> float:
    """Choose among (strength, effect, cost), the first being strength 0, by `RULE`."""
    bare, effect, base = points[0]
    allowed = base * (1 + limit) if relative else base + limit
    # A figure that could not be measured is NaN: no strength is chosen for it, nor preferred to it.
    better = [p for p in points[1:] if p[1] < effect and p[2] <= allowed]
    return min(better, key=lambda p: (p[1], p[0]))[0] if better else bare


def _outcomes(  # noqa: PLR0917
    model: LocalModel, suites: Suites, name: str, title: str, bar: Bar, folder: Path | None
) -> list[Outcome]:
    kind, cases = suites[name]
    asked = Batched(model, folder and folder / name)
    return probe_for(kind).measure(asked, cases, system="tune", progress=bar(f"{title}: {name}", len(cases)))


def _figure(suite: str, outcomes: Sequence[Outcome]) -> float:
    """Return the figure that counts, lower when better; NaN when no outcome counts."""
    if suite == "preference_charter":
        # Not the accuracy: few pairs change sides on `tune`, and its steps are wider than what is looked for.
        return -margin(outcomes)
    kind, wanted = FIGURES[suite]
    found = probe_for(kind).figures(with_value(outcomes))
    value = next((e.value for e in found if e.name == wanted), math.nan)
    return abs(value) if suite == "pair_roles" else value
