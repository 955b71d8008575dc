"""What all readers share: the rejected row, the check of a parsed row, and errors of a whole input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trimtab.errors import InputError, Problem
from trimtab.records.shapes import Row, ShapeError, refuse_flaws, short


@dataclass(frozen=True)
class Rejected:
    """A row that was not taken: where it is, a stable code and the reason; and its text where a reader has it (CSV)."""

    place: str
    code: str
    reason: str
    text: str | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        """One line: place, reason and code."""
        return f"{self.place}: {self.reason} [{self.code}]"


Item = tuple[str, Row | Rejected]


def checked(value: Any, place: str) -> Row | Rejected:
    """Return `value` when it is an object that every JSON reader reads alike, else why it is not."""
    try:
        refuse_flaws(value)
    except ShapeError as error:
        return Rejected(place, error.code, error.reason)
    if not isinstance(value, dict):
        return Rejected(place, "records.not-object", f"{short(value)} is not a JSON object")
    return value


def unusable(code: str, place: object, message: str, fix: str) -> InputError:
    """Return the error that says that the input at `place` cannot be used as a whole."""
    return InputError(Problem(code, str(place), message, fix))


def not_utf8(place: object) -> InputError:
    """Return the error for a file that is in another encoding."""
    return unusable("records.not-utf8", place, "is not UTF-8 text", "Convert it: iconv -t UTF-8")


def nothing_taken(
    rejected: Sequence[Rejected], place: object, *, area: str, noun: str, fix: str
) -> InputError:
    """Return why an input that gave nothing cannot be used; `area` begins the code, `noun` is what was wanted."""
    if not rejected:
        return unusable(f"{area}.empty", place, "holds no row", "Give at least one row")
    if all(row.code == "records.not-utf8" for row in rejected):
        return not_utf8(place)
    first = "; ".join(map(str, rejected[:3]))
    return unusable(f"{area}.no-valid-row", place, f"none of {len(rejected)} rows is a {noun}: {first}", fix)


def os_error(error: OSError, place: object) -> InputError:
    """Return what a user can do about a file that the system would not read."""
    if isinstance(error, FileNotFoundError):
        return unusable("records.missing", place, "does not exist", "Check the path")
    if isinstance(error, PermissionError):
        return unusable(
            "records.no-permission", place, "may not be read", "Give this user the right to read it"
        )
    reason = error.strerror or type(error).__name__
    return unusable("records.unreadable", place, f"cannot be read ({reason})", "Check the path and the disk")
