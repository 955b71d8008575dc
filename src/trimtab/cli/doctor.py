"""`trimtab doctor`: what is installed."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec

_EXTRA = re.compile(r"""extra *== *["']([^"']+)["']""")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
EXTRAS = ("local", "embedded", "ray", "sign")  # for people who use trimtab, not for those who develop it


def parts() -> dict[str, list[str]]:
    """Return extra → the packages that it installs, as trimtab's own metadata say."""
    found: dict[str, list[str]] = {extra: [] for extra in EXTRAS}
    try:
        lines = requires("trimtab") or ()
    except PackageNotFoundError:  # run from its sources: what it needs is written down nowhere
        return {}
    for line in lines:
        package, _, marker = line.partition(";")
        name, extra = _NAME.match(package.strip()), _EXTRA.search(marker)
        if name and extra and extra[1] in found and name[0] != "trimtab":
            found[extra[1]].append(name[0])
    return found


def doctor() -> None:
    """Say what is installed, what is missing, and the line that installs it.

    Example: `trimtab doctor`
    """
    from trimtab import __version__
    from trimtab.cli.output import say, tell
    from trimtab.errors import install_line
    from trimtab.models.cache import cache_folder

    python = f"Python {platform.python_version()}"
    tell(f"trimtab {__version__}, {python}, {os.cpu_count()} cores, cache {cache_folder()}")
    for extra, packages in parts().items():
        found = {p: _version(p) for p in packages}
        missing = [p for p, v in found.items() if v is None]
        told = ", ".join(f"{p} {v}" for p, v in found.items() if v)
        tell(f"[{'missing' if missing else 'ok'}] {extra}: {told or 'nothing'}")
        if missing:
            tell(f"    missing {', '.join(missing)}: {install_line(extra)}")
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
