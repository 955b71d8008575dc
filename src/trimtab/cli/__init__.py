"""The command line: one file per command, each imported when it is called."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trimtab.errors import Problem

KEEPING = ("run", "drift", "screen", "harden", "debias", "reinforce")  # commands that go on where they were


def main() -> None:
    """Run the command line; problems are printed without a traceback, with the exit code of their kind."""
    from trimtab.errors import EXIT_INTERRUPTED, EXIT_USAGE, TrimtabError

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a character that the terminal lacks is spelled out
            stream.reconfigure(errors="backslashreplace")
    try:
        from trimtab.cli.app import app

        app()
    except TrimtabError as error:
        for problem in error.problems:
            _complain(str(problem))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print(_interrupted(sys.argv[1:]), file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except SystemExit as stop:
        if stop.code == EXIT_INTERRUPTED:  # typer turns Ctrl-C into this, and says nothing
            print(_interrupted(sys.argv[1:]), file=sys.stderr)
        raise
    except OSError as error:
        _complain(str(_refused(error)))
        sys.exit(EXIT_USAGE)


def _interrupted(arguments: list[str]) -> str:
    """Return what Ctrl-C leaves of a command."""
    command, *options = arguments or [""]
    kept = any(option.startswith("--outcomes") for option in options)
    if command in KEEPING or (command == "probe" and kept):
        return "trimtab: interrupted; what was finished is kept, the same command goes on there"
    hint = "; with --outcomes FILE it is" if command == "probe" else ""
    return f"trimtab: interrupted; what was begun is not kept{hint}"


def _complain(text: str) -> None:
    print(f"trimtab: {ascii_controls(text)}", file=sys.stderr)


def _refused(error: OSError) -> Problem:
    """Return what the system refused that no command saw coming."""
    import errno

    from trimtab.errors import Problem

    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "the output"
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    fix = "Free some space" if full else "Check the path, the disk and your rights there"
    if place == "the output":
        _drop_output()
    return Problem("system.refused", place, error.strerror or str(error), f"{fix}, and start it again.")


def _drop_output() -> None:
    """Let what is still to be written to a full disk go: Python would complain of it once more at the end."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):
        pass  # a stdout without a file


def ascii_controls(text: str) -> str:
    """Return text with control characters spelled out: messages may quote hostile data."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
