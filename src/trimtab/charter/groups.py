"""Opinion groups as Polis finds them: principal components of the votes that were cast, then k-means.

Polis: Small, Bjorkegren, Erkkilä, Shaw and Megill 2021, and the source of its math server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import ConfigError, Problem

if TYPE_CHECKING:
    from trimtab.charter.votes import Flags, Floats, Ints, Votes

ALONE = -1  # the label of a participant with too few votes to be placed
LEAST_VOTES, LEAST_PARTICIPANTS = 7, 15
BASE, MOST_GROUPS, LEAST_DIVIDED = 100, 5, 4
RANK = 1e-9  # a component this much smaller than the first is none
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, eq=False)
class Projection:
    """Points of the participants (P, 2), loadings of the statements (2, S) and their mean votes (S,)."""

    points: Floats
    components: Floats
    center: Floats


@dataclass(frozen=True, eq=False)
class Groups:
    """The group of each participant (P,), `ALONE` for none; names by label; how well each number of groups fits."""

    labels: Ints
    names: tuple[str, ...]
    silhouettes: dict[int, float] = field(default_factory=dict)

    def sizes(self, people: Floats) -> Floats:
        """Return the members of each group (G,), of participants who stand for so many `people` each (P,)."""
        placed = self.labels >= 0
        return np.bincount(self.labels[placed], people[placed], minlength=len(self.names)).astype(np.float64)


def project(votes: Votes, used: Flags) -> Projection:
    """Return the two principal components over the statements chosen by `used` (S,).

    A missing vote counts as the statement's mean, so the centred matrix is zero there and stays sparse. A
    participant's point is scaled by sqrt(statements / votes cast), so that few votes do not pull it to the middle;
    what moderators took out counts as cast by everyone, as in Polis. A ballot counts as the people it stands for.
    """
    inside = used[votes.column]
    weight = votes.weights[votes.row]
    count = np.asarray(votes.matrix(weight, inside).sum(axis=0)).ravel()
    total = np.asarray(votes.matrix(weight * votes.value, inside).sum(axis=0)).ravel()
    center = np.divide(total, count, out=np.zeros_like(total, dtype=np.float64), where=count > 0)
    apart = votes.value - center[votes.column]
    centred = votes.matrix(apart, inside)
    components = _components(votes.matrix(np.sqrt(weight) * apart, inside))
    cast = np.maximum(1, np.bincount(votes.row[inside], minlength=len(votes.participants)) + (~used).sum())
    scale = np.sqrt(len(votes.statements) / cast)
    return Projection((centred @ components.T) * scale[:, None], components, center)


def _components(centred: Any) -> Floats:
    """Return the first two right singular vectors (2, S) of a sparse matrix, signs fixed; zeros where there are fewer."""
    from scipy.sparse.linalg import svds

    found = np.zeros((2, centred.shape[1]))
    centred.eliminate_zeros()  # a statement on which all vote alike is stored as zeros
    if not centred.nnz:
        return found
    if min(centred.shape) <= 3:
        _, sizes, rows = np.linalg.svd(centred.toarray(), full_matrices=False)
    else:
        # Ones are orthogonal to every component where columns, or all rows alike, add up to zero: any fixed draw is not.
        start = np.random.default_rng(0).standard_normal(min(centred.shape))
        _, sizes, rows = svds(centred, k=2, v0=start)
        sizes, rows = sizes[::-1], rows[::-1]
    rows = rows[:2][
        sizes[:2] > RANK * sizes[0]
    ]  # what is left of no variance is rounding, and would divide people
    signs = np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)])
    found[: len(rows)] = rows * signs[:, None]
    return found


def placed(votes: Votes) -> Flags:
    """Return who has votes enough to be placed (P,): 7, or all where there are fewer statements.

    Where fewer than 15 people have, those with the most votes join until there are 15.
    """
    cast = votes.cast()
    enough = cast >= max(1, min(LEAST_VOTES, len(votes.statements)))
    if (missing := LEAST_PARTICIPANTS - votes.weights[enough].sum()) > 0:
        rest = np.flatnonzero(~enough & (cast > 0))
        rest = rest[np.argsort(-cast[rest], kind="stable")]
        people = votes.weights[rest]
        enough[rest[people.cumsum() - people < missing]] = True
    return np.asarray(enough)


def opinion_groups(votes: Votes, used: Flags, *, k: int | None = None) -> Groups:
    """Return the opinion groups over the statements chosen by `used` (S,); `k` fixes their number.

    More than 100 participants are first drawn together in 100 base clusters; their centres are clustered, weighted, into
    2 to min(5, 2 + base clusters / 12) groups, and the best mean silhouette decides. A is the largest. k-means
    starts at the first distinct points, in the order of participants, as in Polis: nothing is drawn by chance. All are
    one group where all vote alike, and without `k` where fewer than four are placed. Raises ConfigError where the
    votes hold fewer than `k` groups.
    """
    points = project(votes, used).points
    inside = placed(votes)
    labels = np.full(len(votes.participants), ALONE)
    if (n := int(votes.weights[inside].sum())) == 0:
        return Groups(labels, ())
    base, centres, weights = _base(points[inside], votes.weights[inside])
    found, fits = _best(centres, weights, [k] if k else range(2, _most(n, centres) + 1))
    if k and found.max() + 1 < k:
        raise ConfigError(_too_many(k, int(found.max()) + 1, n))
    labels[inside] = found[base]
    return Groups(_by_size(labels, votes.weights), tuple(LETTERS[: found.max() + 1]), fits)


def _most(n: int, centres: Floats) -> int:
    """Return the largest number of groups tried: fewer than there are distinct points, unless people share them."""
    distinct = len(np.unique(centres, axis=0))
    return 1 if n < LEAST_DIVIDED else min(MOST_GROUPS, 2 + min(n, BASE) // 12, distinct - (distinct == n))


def _too_many(k: int, found: int, n: int) -> Problem:
    message = f"{k} groups cannot be made of the votes of {n} people: they hold {found}"
    fix = "Ask for fewer with --k, or `groups` in the charter's [rule], or let the silhouette decide."
    return Problem("tally.too-many-groups", "number of groups", message, fix)


def _base(points: Floats, people: Floats) -> tuple[Ints, Floats, Floats]:
    """Return the base cluster of each point (n,), the clusters' centres (B, 2), and how many people each holds (B,)."""
    if people.sum() <= BASE:
        last = people.astype(np.intp).cumsum()
        return last - 1, np.repeat(points, people.astype(np.intp), axis=0), np.ones(last[-1])
    used, labels = np.unique(_k_means(points, people, BASE), return_inverse=True)
    total = np.bincount(labels, weights=people, minlength=len(used)).astype(np.float64)
    sums = [np.bincount(labels, weights=points[:, d] * people) for d in range(points.shape[1])]
    return labels.astype(np.intp), np.stack(sums, axis=1) / total[:, None], total


def _k_means(points: Floats, weights: Floats, k: int) -> Ints:
    """Return the labels (n,) of k-means from the first `k` distinct points; fewer groups where there are fewer."""
    from sklearn.cluster import KMeans

    first = np.sort(np.unique(points, axis=0, return_index=True)[1])[:k]
    fitted = KMeans(len(first), init=points[first], n_init=1).fit(points, sample_weight=weights)
    return np.asarray(fitted.labels_, dtype=np.intp)


def _best(centres: Floats, weights: Floats, choices: range | list[int]) -> tuple[Ints, dict[int, float]]:
    """Return the labels (n,), from 0 without gaps, of the number of groups that fits best; all 0 where none divides."""
    best, fits = np.zeros(len(centres), dtype=np.intp), {}
    for k in choices:
        labels = np.unique(_k_means(centres, weights, k), return_inverse=True)[1]
        if labels.max() > 0:
            fits[k] = _silhouette(centres, weights, labels)
            if fits[k] == max(fits.values()):
                best = labels
    return best, fits


def _silhouette(centres: Floats, weights: Floats, labels: Ints) -> float:
    """Return the mean silhouette (Rousseeuw 1987); with each centre a group: 1 where people share it, 0 of one person."""
    from sklearn.metrics import silhouette_score

    if labels.max() + 1 == len(centres):
        return float((weights > 1).mean())
    return float(silhouette_score(centres, labels))


def stability(votes: Votes, used: Flags, groups: Groups) -> float:
    """Return how far k-means from the best of ten random starts finds the same groups (adjusted Rand index)."""
    from sklearn.cluster import KMeans

    inside = groups.labels >= 0
    if len(groups.names) < 2:
        return float("nan")
    points, people = project(votes, used).points[inside], votes.weights[inside]
    fitted = KMeans(len(groups.names), n_init=10, random_state=0).fit(points, sample_weight=people)
    labels = np.full(len(groups.labels), ALONE)
    labels[inside] = fitted.labels_
    return agreement(groups, Groups(labels, groups.names), votes.weights)


def _by_size(labels: Ints, people: Floats) -> Ints:
    """Return the labels renamed so that 0 is the group of most people."""
    sizes = np.bincount(labels[labels >= 0], weights=people[labels >= 0])
    place = np.empty(len(sizes), dtype=np.intp)
    place[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return np.where(labels >= 0, place[labels], ALONE)


def given_groups(votes: Votes) -> Groups | None:
    """Return the groups that the source names, A the largest; None where it names none."""
    names = sorted({g for g in votes.given if g})
    if not names:
        return None
    place = {name: i for i, name in enumerate(names)}
    labels = np.array([place.get(g, ALONE) for g in votes.given], dtype=np.intp)
    placed = labels >= 0
    order = np.argsort(-np.bincount(labels[placed], weights=votes.weights[placed]), kind="stable")
    return Groups(_by_size(labels, votes.weights), tuple(names[i] for i in order))


def agreement(one: Groups, other: Groups, people: Floats | None = None) -> float:
    """Return the adjusted Rand index of two groupings, over those whom both place (Hubert and Arabie 1985).

    `people` (P,) is how many each stands for, default one; nan where both place nobody.
    """
    both = (one.labels >= 0) & (other.labels >= 0)
    if not both.any():
        return float("nan")
    cell = one.labels[both] * (other.labels.max() + 1) + other.labels[both]
    table = np.bincount(cell, weights=None if people is None else people[both]).astype(float)
    table = np.pad(table, (0, -len(table) % (other.labels.max() + 1))).reshape(-1, other.labels.max() + 1)
    together, rows, columns, every = (
        float((n * (n - 1) / 2).sum()) for n in (table, table.sum(axis=1), table.sum(axis=0), table.sum())
    )
    by_chance = rows * columns / every if every else 0.0
    most = (rows + columns) / 2
    return 1.0 if most == by_chance else (together - by_chance) / (most - by_chance)
