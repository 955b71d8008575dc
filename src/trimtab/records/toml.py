"""Parses TOML that people wrote: whatever is wrong with it, they read one clear error."""

from __future__ import annotations

import tomllib
from typing import Any

from trimtab.errors import ConfigError, Problem


def parse_toml(data: bytes, *, place: str, code: str) -> dict[str, Any]:
    """Return the tables of a TOML text from `place`; raises ConfigError with `code` when it is not TOML in UTF-8."""
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        message, fix = f"is not UTF-8 text (byte {error.start + 1})", "Convert it: iconv -t UTF-8"
    # tomllib lets a bare ValueError out for a number of thousands of digits.
    except ValueError as error:
        message, fix = f"is not TOML ({error})", "Repair it at the place named"
    except RecursionError:
        message, fix = "is nested too deeply", "Write it flatter"
    raise ConfigError(Problem(code, place, message, fix))
