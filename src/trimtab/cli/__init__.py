"""The command line: one file per command, each imported when it is called."""

from __future__ import annotations

import sys

INTERRUPTED = "trimtab: interrupted; what was finished is kept, the same command goes on there"


def main() -> None:
    """Run the command line; problems are printed without a traceback, with the exit code of their kind."""
    from trimtab.errors import EXIT_INTERRUPTED, EXIT_USAGE, TrimtabError

    try:
        from trimtab.cli.app import app

        app()
    except TrimtabError as error:
        for problem in error.problems:
            print(f"trimtab: {ascii_controls(str(problem))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except SystemExit as stop:
        if stop.code == EXIT_INTERRUPTED:  # typer turns Ctrl-C into this, and says nothing
            print(INTERRUPTED, file=sys.stderr)
        raise
    except OSError as error:
        print(f"trimtab: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(EXIT_USAGE)


def ascii_controls(text: str) -> str:
    """Return text with control characters spelled out: messages may quote hostile data."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
