"""Real human-written text at hand: the documentation that comes with every Python installation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from trimtab.records.record import digest
from trimtab.suites.case import TextCase
from trimtab.suites.splits import split_clusters

SOURCE = "Python documentation (pydoc_data.topics)"
_WORDS = (35, 110)


@dataclass(frozen=True)
class RealText:
    """Paragraphs of human-written prose as cases, and the digest of all of them."""

    cases: list[TextCase]
    digest: str
    source: str = SOURCE


@cache
def python_documentation() -> RealText:
    """Return prose paragraphs of 35 to 110 words, clustered by topic and split by it."""
    from pydoc_data.topics import topics

    rows = [(t, p) for t in sorted(topics) for p in _paragraphs(topics[t])]
    rows = list({text: (topic, text) for topic, text in rows}.values())
    splits = split_clusters([t for t, _ in rows], ["text"] * len(rows), salt="text")
    cases = [
        TextCase.model_validate(
            {
                "id": f"text-{topic}-{i}",
                "suite": "text",
                "cluster": topic,
                "split": splits[topic],
                "text": text,
                "prompt": f'What does the Python documentation say about "{topic}"?',
            }
        )
        for i, (topic, text) in enumerate(rows)
    ]
    return RealText(cases, digest([c.body for c in cases]))


def _paragraphs(topic: str) -> list[str]:
    found = []
    for block in re.split(r"\n\s*\n", topic):
        text = " ".join(block.split())
        words = text.split()
        letters = sum(c.isalpha() or c == " " for c in text)
        prose = text[:1].isupper() and text.endswith(".") and letters > 0.88 * len(text) and "::=" not in text
        if prose and _WORDS[0] <= len(words) <= _WORDS[1]:
            found.append(re.sub(r"[*`]+", "", text))
    return found
