"""The checks that need a model: embeddings beside their null, and the guard on what rows ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab.screens.fidelity import LEAST, paired
from trimtab.screens.finding import MOST_ROWS, Finding, not_run
from trimtab.screens.sample import Sample
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.intervals import wilson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Cloud = NDArray[np.float64]

CODES = ("fidelity.outside", "fidelity.uncovered", "fidelity.tail", "fidelity.copied")
HAZARD = "content.hazard"
_FAR = 0.05
_NEEDS = "which needs torch and the embedder's weights (`trimtab doctor` says how to get them)"
WHY_NOT = {
    **dict.fromkeys(CODES, f"not asked for: --embeddings, {_NEEDS}"),
    HAZARD: f"no guard was named: --guard RUN, {_NEEDS}",
}

Embed = Callable[[Sequence[str]], "NDArray[Any]"]
Blocks = Callable[[Sequence[str]], list[bool]]


@dataclass(frozen=True)
class Models:
    """What the caller has loaded: a function that embeds texts, and one that says which requests a guard blocks."""

    embed: Embed | None = None
    blocks: Blocks | None = None


def fidelity_by_model(
    sample: Sample, real: Sequence[str] | None, embed: Embed | None, *, most: int, seed: int
) -> list[Finding]:
    """Return the findings of the checks that need an embedder; without one they did not run."""
    if embed is None:
        return [not_run(code, WHY_NOT[code]) for code in CODES]
    if real is None:
        return [not_run(code, "no real text to compare with (--reference)") for code in CODES]
    return embedding_findings(sample.texts(), real, embed, most=most, seed=seed)


def embedding_findings(
    texts: Sequence[str], real: Sequence[str], embed: Embed, *, most: int, seed: int
) -> list[Finding]:
    """Return how the dataset's embeddings and real ones cover each other, beside both halves of the real ones."""
    import numpy as np

    n = min(most, len(texts), len(real) // 2)
    if n < LEAST:
        text = f"{len(texts):,} texts and {len(real):,} real ones; {LEAST} and {2 * LEAST} are needed"
        return [Finding(code, "inconclusive", text=text) for code in CODES]
    chance = np.random.default_rng(seed)
    order = chance.permutation(len(real))
    one, other = ([real[i] for i in half] for half in (order[:n], order[n : 2 * n]))
    own = [texts[i] for i in chance.choice(len(texts), n, replace=False)]
    (a, b), (c, d) = (_embedded(embed, *paired(x, one)) for x in (own, other))
    figures, null, told = _figures(a, b), _figures(c, d), _told((a, b), (c, d))
    return [_finding(code, figures[code], null[code], told) for code in CODES]


def _embedded(embed: Embed, own: Sequence[str], real: Sequence[str]) -> tuple[Cloud, Cloud]:
    import numpy as np

    return np.asarray(embed(own), np.float64), np.asarray(embed(real), np.float64)


def _figures(own: Cloud, real: Cloud) -> dict[str, tuple[int, int]]:
    """Return, for each code, how many points have it, and of how many."""
    from trimtab.screens.embeddings import authentic, covered, tail

    by_own, rare = covered(real, own), tail(real)
    return {
        "fidelity.outside": (int((~covered(own, real)).sum()), len(own)),
        "fidelity.uncovered": (int((~by_own).sum()), len(real)),
        "fidelity.tail": (int((~by_own & rare).sum()), int(rare.sum())),
        "fidelity.copied": (int((~authentic(own, real)).sum()), len(own)),
    }


def _told(found: tuple[Cloud, Cloud], null: tuple[Cloud, Cloud]) -> str:
    from trimtab.screens.embeddings import frechet, vendi

    far, near = frechet(*found), frechet(*null)
    varied, real = (vendi(cloud) for cloud in found)
    return (
        f"Fréchet distance {far:.3f}, real against real {near:.3f}; Vendi score {varied:.1f}, real {real:.1f}"
    )


def _finding(code: str, found: tuple[int, int], null: tuple[int, int], text: str) -> Finding:
    estimate, beside = (_share(code, *figure) for figure in (found, null))
    far = estimate.low > beside.high + _FAR
    return Finding(code, "found" if far else "nothing found", estimate, beside, text=text)


def _share(code: str, k: int, n: int) -> Estimate:
    return Estimate(code, k / n, *wilson(k / n, n), n, n, "of texts")


def hazard_finding(
    sample: Sample, blocks: Blocks | None, *, most: int, seed: int
) -> tuple[Finding, dict[int, str]]:
    """Return how many of `most` requests, drawn at random, the guard blocks, and for each such row (number) why."""
    import numpy as np

    if blocks is None:
        return not_run(HAZARD, WHY_NOT[HAZARD]), {}
    asked = [i for i, prompt in enumerate(sample.prompts) if prompt.strip()]
    if not asked:
        return not_run(HAZARD, "no requests to look in"), {}
    chosen = sorted(np.random.default_rng(seed).choice(asked, min(most, len(asked)), replace=False).tolist())
    hit = [
        i for i, blocked in zip(chosen, blocks([sample.prompts[i] for i in chosen]), strict=True) if blocked
    ]
    rows = tuple(sample.places[i] for i in hit[:MOST_ROWS])
    estimate = _share(HAZARD, len(hit), len(chosen))
    drawn_from = sample.of if sample.of > len(chosen) else 0
    finding = Finding(HAZARD, "found" if hit else "nothing found", estimate, rows=rows, drawn_from=drawn_from)
    return finding, {sample.rows[i]: "the guard blocks the request" for i in hit}
