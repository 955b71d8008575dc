"""Loops: texts that repeat themselves, which an adapter learns not to go on with.

The adapters of bias and values made the embedded model loop more often, and a loop is most likely once it has begun.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import cycle, islice, takewhile
from typing import Any

from trimtab.models.local import LocalModel
from trimtab.training.predictions import logits_at

PERIOD = 20  # tokens at most that a loop goes round
BEFORE = 24  # tokens of the reply at most before it begins
TURNS = 48  # tokens that it goes on for after the first time round
SAME = 4  # tokens in a row that were said before: the next one is part of a loop


def looping(
    rows: Sequence[dict[str, list[int]]], model: LocalModel, most: int, seed: int
) -> list[dict[str, list[int]]]:
    """Return each row (`rows.row`) with a reply that begins as it does and then goes round in a loop, `most` tokens in all.

    Labels are left at the tokens that should not have come: those of the loop after the first `SAME` of it. Rows that have no
    room for a loop are left out. Repeating a piece of a good text is the pseudo-repetition of Xu et al. 2022.
    """
    drawn = random.Random(seed)
    made = (_looped(r, set(model.tokenizer.all_special_ids), most, drawn) for r in rows)
    return [r for r in made if any(label >= 0 for label in r["labels"])]


def _looped(
    tokens: dict[str, list[int]], special: set[int], most: int, drawn: random.Random
) -> dict[str, list[int]]:
    before = tokens["labels"].count(-100)
    reply = list(takewhile(lambda t: t not in special, tokens["input_ids"][before:]))
    period = drawn.randint(1, max(1, min(PERIOD, len(reply))))
    begins = drawn.randint(0, max(0, min(BEFORE, len(reply) - period)))
    once = tokens["input_ids"][:before] + reply[: begins + period]
    turns = list(islice(cycle(reply[begins : begins + period]), TURNS)) if reply else []
    ids = [*once, *turns][:most]
    learned = range(len(once) + SAME, len(ids))
    return {"input_ids": ids, "labels": [t if i in learned else -100 for i, t in enumerate(ids)]}


def unlikelihood(network: Any, ids: Any, mask: Any, learned: Any) -> Any:
    """Return the mean of −log(1 − p) over the tokens that are marked (nats): the unlikelihood of Welleck et al. 2020.

    All three are of shape texts × tokens, as in `retention.divergence`.
    """
    logits = logits_at(network, ids, mask, learned)
    others = logits.scatter(-1, ids[:, 1:][learned[:, 1:]][:, None], float("-inf"))
    return (logits.logsumexp(-1) - others.logsumexp(-1)).mean()
