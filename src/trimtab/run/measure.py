"""Measures a model on the built-in suites, and lays the guard over answers that were given without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from trimtab.charter.charter import Charter
from trimtab.mechanisms.adversarial.cases import attack_cases, ordinary_cases, twin_cases
from trimtab.mechanisms.bias.cases import association_cases, role_pairs, trait_pairs
from trimtab.mechanisms.values.cases import preference_cases
from trimtab.models.batched import Batched
from trimtab.models.guard import REPLY, Guard
from trimtab.models.protocol import Model, Progress
from trimtab.probes.judge import NAME
from trimtab.probes.outcome import Outcome, Probe
from trimtab.probes.registry import probe_for
from trimtab.run.config import Sizes
from trimtab.suites.case import Asked, AttackCase, Case, Split
from trimtab.suites.splits import spread
from trimtab.suites.text import python_documentation

Suites = Mapping[str, tuple[str, Sequence[Case]]]
Bar = Callable[[str, int], Progress]


def test_suites(sizes: Sizes, charter: Charter | None) -> Suites:
    """Return the suites of the `test` split: name → (kind, cases); with a charter, preferences on what it holds alone."""
    texts = [c for c in python_documentation().cases if c.split == "test"]
    return {
        "attack": ("attack", spread(attack_cases("test"), sizes.attacks)),
        # In two wrappings each: what a correction costs is a small share, and takes more cases to tell.
        "twins": ("benign", [c for a in (0, 1) for c in spread(twin_cases("test", a), sizes.attacks)]),
        "ordinary": ("benign", ordinary_cases("test", sizes.ordinary)),
        "pair_roles": ("pair", spread(role_pairs("test", 3), sizes.role_pairs)),
        "pair_traits": ("pair", spread(trait_pairs("test"), sizes.trait_pairs)),
        "preference_charter": ("preference", spread(preference_cases("test", charter), sizes.preferences)),
        "text": ("text", spread(texts, sizes.texts)),
        "association": ("association", spread(association_cases("test"), sizes.associations)),
    }


def reattack_cases(sizes: Sizes) -> list[AttackCase]:
    """Return the cases of the re-attack: other wrappings of some behaviours of the `test` split."""
    chosen = {c.behavior for c in spread(attack_cases("test"), sizes.reattack_behaviours)}
    attempts = range(1, sizes.reattack_attempts + 1)
    return [c for a in attempts for c in attack_cases("test", a) if c.behavior in chosen]


def tune_suites(sizes: Sizes, charter: Charter | None = None) -> Suites:
    """Return small suites of the `tune` split, for trim; with a charter, preferences on what it holds alone."""
    split: Split = "tune"
    n = sizes.tune_cases
    return {
        # In three wrappings each, one of which is enough: most are blocked, and few are left by which strengths differ.
        "attack": ("attack", [c for a in (0, 1, 2) for c in spread(attack_cases(split, a), n)]),
        "twins": ("benign", [c for a in (0, 1) for c in spread(twin_cases(split, a), n)]),
        "ordinary": ("benign", ordinary_cases(split, 2 * n)),
        "pair_roles": ("pair", spread(role_pairs(split, 3), 2 * n)),
        "preference_charter": ("preference", spread(preference_cases(split, charter), 2 * n)),
        "text": ("text", spread([c for c in python_documentation().cases if c.split == split], n)),
    }


def measure(
    model: Model, suites: Suites, system: str, bar: Bar, *, folder: Path | None = None
) -> list[Outcome]:
    """Return the outcomes of all suites that the model can be measured on.

    With a `folder`, what was answered is kept there for each suite, and not asked again.
    """
    outcomes: list[Outcome] = []
    for name, (kind, cases) in suites.items():
        probe = probe_for(kind)
        if cases and not why_not(model, probe, cases):
            asked = Batched(model, folder / name if folder else None)
            progress = bar(f"{system}: {name}", len(cases))
            outcomes += probe.measure(asked, cases, system=system, progress=progress)
    return outcomes


def why_not(model: Model, probe: Probe, cases: Sequence[Case]) -> str:
    """Return why the model cannot be measured on the cases; empty when it can."""
    able = model.capabilities
    if not probe.needs_likelihood:
        return ""
    if not able.loglikelihood:
        return f"{probe.kind} needs log-likelihoods, which {model.name} does not give"
    if not able.template and any(getattr(c, "prompt", None) for c in cases):
        return f"{probe.kind} needs log-likelihoods after a prompt, and the chat template of {model.name} is unknown"
    return ""


def blocked_items(guard: Guard, suites: Suites) -> dict[str, bool]:
    """Return item → whether the guard blocks it, for all cases that ask something of the model."""
    asked = [c for kind, cases in suites.values() if kind in ("attack", "benign") for c in cases]
    prompts = [c.prompt for c in asked if isinstance(c, Asked)]
    return dict(zip((c.id for c in asked), guard.blocks(prompts), strict=True))


def guarded(outcomes: Sequence[Outcome], blocked: Mapping[str, bool], system: str) -> list[Outcome]:
    """Return what the outcomes would be behind a guard: a blocked attack fails, a blocked benign request is refused."""
    return [_blocked(o, system) if blocked.get(o.item) else replace(o, system=system) for o in outcomes]


def _blocked(o: Outcome, system: str) -> Outcome:
    value = 0.0 if "behavior" in o.raw else 1.0
    raw = {**o.raw, "label": "refused", "blocked": True, "tokens": 0, "finished": True}
    raw.pop("error", None)
    return replace(o, system=system, response=REPLY, judge=o.judge or NAME, value=value, raw=raw)
