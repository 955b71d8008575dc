"""Bias: which groups a dataset speaks of, and which words go with one of them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from trimtab.records.toml import parse_toml
from trimtab.screens.finding import MOST_ROWS, Finding, not_run, share_of_rows
from trimtab.screens.grams import Tokens, incidence
from trimtab.screens.sample import Sample
from trimtab.statistics.findings import benjamini_hochberg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LEAST_WORD, _LEAST_ROWS, _RATE, _TOLD = 10, 20, 0.05, 10
_CODES = ("bias.representation", "bias.association")


@lru_cache(maxsize=1)
def _groups() -> dict[str, Any]:
    data = files("trimtab.suites").joinpath("groups.toml").read_bytes()
    return parse_toml(data, place="groups.toml", area="screens")


def bias_findings(sample: Sample) -> list[Finding]:
    """Return the share of men among rows that speak of men or of women only, and the words that go with either."""
    import numpy as np

    tokens = Tokens(sample.texts(), signs=False)
    male, female = (_speaks(tokens, _groups()["gender"][name]["words"]) for name in ("male", "female"))
    one = np.flatnonzero(male ^ female)
    if len(one) < _LEAST_ROWS:
        why = f"{len(one)} rows speak of men or of women only, {_LEAST_ROWS} are needed"
        return [not_run(code, why) for code in _CODES]
    return [_representation(sample, male, female, tokens), _association(sample, male, female, tokens)]


def _speaks(tokens: Tokens, words: list[str]) -> NDArray[np.bool_]:
    import numpy as np

    codes = [tokens.codes[word] for word in words if word in tokens.codes]
    speaks = np.zeros(len(tokens), bool)
    speaks[tokens.owners[np.isin(tokens.flat, codes)]] = True
    return speaks


def _representation(
    sample: Sample, male: NDArray[np.bool_], female: NDArray[np.bool_], tokens: Tokens
) -> Finding:
    import numpy as np

    men, women = int((male & ~female).sum()), int((female & ~male).sum())
    target = _groups()["gender"]["male"]["share"]
    finding = share_of_rows("bias.representation", men, men + women, drawn_from=sample.drawn_from)
    rows = tuple(sample.places[i] for i in np.flatnonzero(male ^ female)[:MOST_ROWS])
    e = finding.estimate
    even = e is not None and e.low <= target <= e.high
    text = f"of men only {men:,} rows, of women only {women:,}, of both {int((male & female).sum()):,}"
    text += "".join(f"; {axis}: {told}" for axis in _groups()["axis"] if (told := _terms(tokens, axis)))
    return replace(finding, status="nothing found" if even else "found", rows=rows, text=text)


def _terms(tokens: Tokens, axis: str) -> str:
    """Return the most frequent terms of an axis, those of one word, with their rows."""
    terms = [term for term in _groups()["axis"][axis]["terms"] if term.isalpha()]
    counts = sorted(((int(_speaks(tokens, [t.lower()]).sum()), t) for t in terms), reverse=True)
    return ", ".join(f"{t} {n:,}" for n, t in counts[:4] if n)


def _association(
    sample: Sample, male: NDArray[np.bool_], female: NDArray[np.bool_], tokens: Tokens
) -> Finding:
    """Words in rows of one group only: a two-sided hypergeometric test of each, with false-discovery control."""
    import numpy as np

    one = np.flatnonzero(male ^ female)
    words = incidence(tokens, [tokens.runs(1)], least=_LEAST_WORD, most=len(tokens))
    matrix = words.matrix.tocsr()[one].tocsc()
    with_men, total = (np.asarray(m.sum(axis=0), np.int64).ravel() for m in (matrix[male[one]], matrix))
    named = {w for group in _groups()["gender"].values() for w in group["words"]}
    names = [tokens.vocabulary[tokens.flat[start]] for start in words.starts]
    tested = np.flatnonzero((total >= _LEAST_WORD) & np.array([n not in named for n in names], bool))
    p = _two_sided(with_men[tested], total[tested], int(male[one].sum()), len(one))
    found = tested[benjamini_hochberg(p) <= _RATE]
    finding = share_of_rows("bias.association", len(found), len(tested))
    if not len(found):
        return finding
    order = found[np.argsort(p[np.isin(tested, found)], kind="stable")]
    told = ", ".join(f"{names[i]} {with_men[i]}:{total[i] - with_men[i]}" for i in order[:_TOLD])
    rows = tuple(sample.places[one[i]] for i in _rows_of(matrix, int(order[0]))[:MOST_ROWS])
    return replace(finding, rows=rows, text=f"words, rows of men : rows of women: {told}")


def _rows_of(matrix: Any, column: int) -> list[int]:
    return sorted(matrix.indices[matrix.indptr[column] : matrix.indptr[column + 1]].tolist())


def _two_sided(k: NDArray[np.int64], n: NDArray[np.int64], men: int, rows: int) -> NDArray[np.float64]:
    import numpy as np
    from scipy.stats import hypergeom

    upper, lower = hypergeom.sf(k - 1, rows, men, n), hypergeom.cdf(k, rows, men, n)
    return np.asarray(np.minimum(1.0, 2 * np.minimum(upper, lower)), np.float64)
