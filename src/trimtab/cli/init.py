"""`trimtab init`: a commented configuration."""

from __future__ import annotations

from pathlib import Path

import typer

TEXT = """# Configuration of `trimtab run`. Every key is optional; unknown keys are refused.
name = "loop"            # names the run's folder; an unfinished run of this name is resumed
model = "embedded"       # embedded, hf/ORG/NAME[@REV], dir/PATH, openai/NAME
seed = 0
mechanisms = ["adversarial", "bias", "values"]
# gates = "gates.toml"   # a file of [[gate]] tables, fixed before the run; default: the built-in gates

[strengths]              # what trim tries for each adapter on the tune split
adversarial = [0.5, 0.75, 1.0]
bias = [0.5, 0.75, 1.0]
values = [1.0, 2.0, 3.0]

[sizes]                  # how many cases are measured, and how many records are planned
"""


def init(
    path: Path = typer.Argument(Path("trimtab.toml"), help="Where to write it."),
    force: bool = typer.Option(False, help="Overwrite a file that is there."),
) -> None:
    """Write a commented trimtab.toml with the default values."""
    from trimtab.errors import InputError, Problem
    from trimtab.run.config import Sizes

    if path.exists() and not force:
        raise InputError(
            Problem("init.exists", str(path), "is there already", "Use --force to overwrite it.")
        )
    sizes = "".join(f"{key} = {value}\n" for key, value in Sizes().model_dump().items())
    try:
        path.write_text(TEXT + sizes, encoding="utf-8")
    except OSError as error:
        raise InputError(
            Problem("init.not-written", str(path), str(error), "Choose another path.")
        ) from error
    typer.echo(f"wrote {path}\nnext: trimtab run --config {path} --dry-run")
