"""`trimtab export`: the adapters of a system as one that servers load."""

from __future__ import annotations

from pathlib import Path

import typer

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM takes as --max-lora-rank


def export(
    run: Path = typer.Argument(help="A finished run, or a bundle."),
    output: Path = typer.Option(..., "--output", "-o", help="The adapter: a folder that is not there yet."),
    without: list[str] = typer.Option([], help="Leave out an adapter: adversarial, bias, values."),
) -> None:
    """Write the adapters of a run or bundle, at their strengths, as one plain PEFT adapter.

    Servers load an adapter as it is, without strengths and mostly one at a time; this one gives the outputs of all. The
    guard is not in it: it stays in front of the model.

    Example: `trimtab export bundle -o adapter`
    """
    from trimtab.cli.output import say, tell
    from trimtab.models.embedded import HUB_NAME
    from trimtab.models.system import export_adapter

    base, rank = export_adapter(run, output, without)
    tell(f"{output}: one adapter of rank {rank} for {base}")
    if (run / "guard").is_dir():
        tell(f"the guard is not in it: put {run / 'guard'} in front (docs/loop.md, Serve it)")
    most = next((r for r in RANKS if r >= rank), rank)
    name, _, revision = (HUB_NAME if base == "embedded" else base.partition("/")[2]).partition("@")
    pinned = f" --revision {revision}" if revision else ""
    say(
        f"next: vllm serve {name}{pinned} --enable-lora --max-lora-rank {most} "
        f"--lora-modules trimtab={output.resolve()}"
    )
