"""Parses TOML that people wrote: whatever is wrong with it, they read one clear error."""

from __future__ import annotations

import tomllib
from typing import Any

from trimtab.errors import ConfigError, Problem


def parse_toml(data: bytes, *, place: str, area: str) -> dict[str, Any]:
    """Return the tables of a TOML text that came from `place`.

    Raises ConfigError with the code `AREA.unreadable` for what is not UTF-8, `AREA.toml` for what is not TOML.
    """
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start + 1})"
        problem = Problem(f"{area}.unreadable", place, message, "Convert it: iconv -t UTF-8")
    # tomllib lets a bare ValueError out for a number of thousands of digits.
    except ValueError as error:
        problem = Problem(f"{area}.toml", place, f"is not TOML ({error})", "Repair it at the place named")
    except RecursionError:
        problem = Problem(f"{area}.toml", place, "is nested too deeply", "Write it flatter")
    raise ConfigError(problem)
