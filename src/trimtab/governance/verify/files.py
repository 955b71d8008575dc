"""The files of a bundle: nothing missing, nothing changed, nothing that the manifest does not list."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from trimtab.errors import TrimtabError
from trimtab.governance.ledger.envelope import canonical
from trimtab.governance.ledger.note import malformed
from trimtab.governance.verify.report import Report
from trimtab.models.cache import file_digest

MANIFEST, FORMAT, LEDGER = "bundle.json", "trimtab-bundle-1", "ledger"
WEIGHTS = ("adapters/", "guard/")
LARGEST = 2**29  # bytes of a file that is read whole: others are weights
DEEPEST = 8  # ledger/tile/entries/x000/x000/x000/000.p/1 of more entries than anybody writes
MODEL_SIGNATURE = "model.sig"  # of all files but itself, so that none of them can list it


def _listed(name: str) -> str:
    parts = name.split("/")
    if not all(re.fullmatch(r"[A-Za-z0-9._-]+", p) and p not in (".", "..") for p in parts):
        raise ValueError("is not a plain path")
    if name in (MANIFEST, MODEL_SIGNATURE) or parts[0] == LEDGER:
        raise ValueError("cannot be listed")
    return name


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class File(_Strict):
    """A file's SHA-256 in hex and its size in bytes."""

    sha256: str
    size: int


class Manifest(_Strict):
    """`bundle.json`: every file but itself and the ledger. Its SHA-256 is what reviewers sign."""

    demo: bool
    files: Mapping[Annotated[str, AfterValidator(_listed)], File]
    format: str
    run: str


def read_manifest(folder: Path, report: Report) -> Manifest | None:
    """Read `bundle.json`; None, and a failure, where it is not in its only form."""
    try:
        data = (folder / MANIFEST).read_bytes()
        found = Manifest.model_validate(canonical(data, MANIFEST, "bundle.manifest"))
        # Where a file system takes no notice of case, one of two such files would take the other's place.
        if len({name.lower() for name in found.files}) < len(found.files):
            raise malformed("bundle.manifest", MANIFEST, "lists names that differ in case only")
    except (OSError, TrimtabError, ValidationError) as error:
        report.must(
            False, "bundle.manifest", MANIFEST, f"is not a manifest ({str(error).splitlines()[0]:.80})"
        )
        return None
    known = found.format == FORMAT
    return (
        found if report.must(known, "bundle.format", MANIFEST, f"is of format {found.format!a:.40}") else None
    )


def check_links(folder: Path, report: Report) -> bool:
    """Whether a folder holds plain files and folders only: reading anything else could lead out of it, or never end."""
    what = f"is more than {DEEPEST} levels down, where no bundle has anything"
    for name, entry in _walk(folder):
        good = not entry.is_symlink() and (entry.is_file() or entry.is_dir())
        report.must(good, "bundle.link", name, "is a link or no plain file")
        report.must(name.count("/") < DEEPEST, "bundle.deep", name, what)
        small = not good or name.endswith(".safetensors") or entry.stat().st_size <= LARGEST
        report.must(small, "bundle.large", name, f"holds more than {LARGEST} bytes")
    return not report.failures


def _walk(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield name and entry of what is in a folder, by level, down to one more than a bundle has; no link is followed.

    Path.rglob goes down without an end, and ends itself at about a thousand levels.
    """
    folders: list[tuple[str, str | os.PathLike[str]]] = [("", folder)]
    for _ in range(DEEPEST + 1):
        level = sorted((above + entry.name, entry) for above, path in folders for entry in os.scandir(path))
        yield from level
        folders = [(f"{name}/", entry) for name, entry in level if entry.is_dir(follow_symlinks=False)]


def check_files(folder: Path, manifest: Manifest, ledger: Collection[str], report: Report) -> None:
    """Compare what is in the folder with what manifest and ledger say."""
    expected = {MANIFEST, MODEL_SIGNATURE, *manifest.files, *(f"{LEDGER}/{name}" for name in ledger)}
    for name in manifest.files:
        safe = not name.startswith(WEIGHTS) or name.endswith((".json", ".safetensors"))
        report.must(safe, "bundle.unsafe", name, "is neither safetensors nor JSON, and could run code")
    there = {name for name, entry in _walk(folder) if not entry.is_dir()}
    for name in sorted(there - expected):
        report.must(False, "bundle.unlisted", name, "is listed nowhere")
    for name, file in manifest.files.items():
        path = folder / name
        if report.must(name in there, "bundle.missing", name, "is not there"):
            same = path.stat().st_size == file.size and file_digest(path) == file.sha256
            report.must(same, "bundle.changed", name, "is not the file that was released")
