"""All documents of a bundle, by file name."""

from __future__ import annotations

from pathlib import Path

from trimtab.governance.exports.card import dataset_card
from trimtab.governance.exports.croissant import croissant
from trimtab.governance.exports.source import Source
from trimtab.governance.exports.training_content import training_content


def documents(folder: Path, *, demo: bool = False) -> dict[str, str]:
    """Return name → text of the documents that follow from a folder laid out as a bundle."""
    source = Source(folder)
    return {
        "README.md": dataset_card(source, demo=demo),
        "TRAINING_CONTENT.md": training_content(source, demo=demo),
        "croissant.json": croissant(source),
    }
