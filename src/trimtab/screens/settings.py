"""What a screen looks for beyond its defaults: written by the policy, recorded with the results."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from trimtab.screens.form import LONGEST
from trimtab.screens.lineage import DEEPEST


class Settings(BaseModel):
    """Limits of single rows, allowed generators, and the sizes of what is sampled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    longest: int = Field(default=LONGEST, ge=1)
    """Characters of a row."""
    deepest: int = Field(default=DEEPEST, ge=0)
    """Generations of synthetic rows from synthetic rows."""
    generators: tuple[str, ...] = ()
    """Digests of the generators that are allowed; none means all."""
    student: str = ""
    """Digest of the model that is to be trained."""
    near: bool = True
    """Whether near-duplicates are looked for."""
    hunted: int = Field(default=100_000, ge=0)
    """At most so many rows are searched for triggers, clusters, labels and associations."""
    compared: int = Field(default=2_000, ge=0)
    """At most so many rows are compared with as many real ones."""
    guarded: int = Field(default=2_000, ge=1)
    """At most so many requests are read by the guard."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of all samples: what the random numbers of numpy and scikit-learn begin with."""
