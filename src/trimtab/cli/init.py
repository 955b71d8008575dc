"""`trimtab init`: a commented configuration."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import typer


def init(
    path: Path = typer.Argument(Path("trimtab.toml"), help="Where to write it."),
    force: bool = typer.Option(False, help="Overwrite a file that is there."),
) -> None:
    """Write a commented trimtab.toml with every key and its default.

    Example: `trimtab init`, or `trimtab init small.toml`
    """
    from trimtab.cli.output import tell
    from trimtab.errors import InputError, Problem
    from trimtab.records.write import write_bytes

    if path.exists() and not force:
        raise InputError(
            Problem("init.exists", str(path), "is there already", "Use --force to overwrite it.")
        )
    try:
        write_bytes(path, files("trimtab.cli").joinpath("trimtab.toml").read_bytes())
    except InputError as error:
        fix = "Choose a path that can be written to."
        raise InputError(Problem("init.not-written", str(path), error.problems[0].message, fix)) from error
    tell(f"wrote {path}\nnext: trimtab run --config {path} --dry-run")
