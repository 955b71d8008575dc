"""Reads the patterns of a check from the TOML file beside it."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

from trimtab.records.toml import parse_toml


@lru_cache(maxsize=16)
def read_patterns(name: str) -> dict[str, Any]:
    """Return the tables of `name`.toml, a file of this folder."""
    data = files("trimtab.screens").joinpath(f"{name}.toml").read_bytes()
    return parse_toml(data, place=f"{name}.toml", area="screens")
