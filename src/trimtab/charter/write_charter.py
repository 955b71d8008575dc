"""Writes a charter as TOML that people read and go on writing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trimtab.charter.charter import Charter
from trimtab.errors import InputError, Problem

WIDTH = 110


def write_charter(charter: Charter, path: Path, *, head: str = "") -> None:
    """Write a charter, under the comment `head`; raises InputError when the file is there or the disk refuses."""
    comment = "".join(f"# {line}\n" for line in head.splitlines())
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(comment + charter_toml(charter))
    except FileExistsError as error:
        problem = Problem("charter.exists", str(path), "is there already", "Choose another -o.")
        raise InputError(problem) from error
    except OSError as error:
        message = f"cannot be written ({error.strerror or error})"
        raise InputError(Problem("charter.not-written", str(path), message, "Choose another -o.")) from error


def charter_toml(charter: Charter) -> str:
    """Return the TOML text of a charter; reading it gives the same charter."""
    data = charter.model_dump(mode="json", exclude_none=True)
    principles = data.pop("principle")
    rule = data.pop("rule", None)
    parts = [_pairs(data)]
    if rule:
        parts.append("[rule]\n" + _pairs(rule))
    parts += ["[[principle]]\n" + _pairs(p) for p in principles]
    return "\n".join(parts)


def _pairs(table: dict[str, Any]) -> str:
    return "".join(f"{key} = {_value(value)}\n" for key, value in table.items())


def _value(value: Any) -> str:
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which TOML wants escaped as well.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        items = [_value(v) for v in value]
        line = f"[{', '.join(items)}]"
        return line if len(line) < WIDTH else "[\n" + "".join(f"  {item},\n" for item in items) + "]"
    return json.dumps(value)
