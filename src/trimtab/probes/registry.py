"""Which probe measures which kind of suite."""

from __future__ import annotations

from trimtab.probes.association import JUDGE, AssociationProbe, gender_words
from trimtab.probes.attack import AttackProbe
from trimtab.probes.choice import ChoiceProbe
from trimtab.probes.judge import NAME
from trimtab.probes.judged import JudgedProbe
from trimtab.probes.outcome import Outcome, Probe
from trimtab.probes.pair import PairProbe
from trimtab.probes.preference import PreferenceProbe
from trimtab.probes.refusal import RefusalProbe
from trimtab.probes.text import TextProbe


def probe_for(kind: str) -> Probe:
    """Return the probe of a kind of suite (the design's section 6)."""
    if kind == "association":
        return AssociationProbe(gender_words())
    if kind == "pair":
        return PairProbe(collapse=True)
    probes: dict[str, type[Probe]] = {
        "attack": AttackProbe,
        "benign": RefusalProbe,
        "choice": ChoiceProbe,
        "preference": PreferenceProbe,
        "text": TextProbe,
        "judged": JudgedProbe,
    }
    return probes[kind]()


def kind_of(stored: Outcome) -> str | None:
    """Return the kind of suite that an outcome is of, by what it holds; None for one of another judge, or without an answer."""
    if "error" in stored.raw:
        return None
    if stored.judge == NAME:
        return "attack" if "behavior" in stored.raw else "benign"
    if stored.judge == JUDGE:
        return "association"
    marks = {"direction": "pair", "tokens_chosen": "preference", "means": "choice", "prompted": "text"}
    found = [kind for mark, kind in marks.items() if mark in stored.raw]
    return found[0] if found and not stored.judge else None
