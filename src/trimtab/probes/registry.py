"""Which probe measures which kind of suite."""

from __future__ import annotations

from trimtab.probes.association import AssociationProbe, gender_words
from trimtab.probes.attack import AttackProbe
from trimtab.probes.choice import ChoiceProbe
from trimtab.probes.judged import JudgedProbe
from trimtab.probes.outcome import Probe
from trimtab.probes.pair import PairProbe
from trimtab.probes.preference import PreferenceProbe
from trimtab.probes.refusal import RefusalProbe
from trimtab.probes.text import TextProbe


def probe_for(kind: str) -> Probe:
    """Return the probe of a kind of suite (the design's section 6)."""
    if kind == "association":
        return AssociationProbe(gender_words())
    probes: dict[str, type[Probe]] = {
        "attack": AttackProbe,
        "benign": RefusalProbe,
        "pair": PairProbe,
        "choice": ChoiceProbe,
        "preference": PreferenceProbe,
        "text": TextProbe,
        "judged": JudgedProbe,
    }
    return probes[kind]()
