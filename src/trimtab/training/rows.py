"""Records as rows of tokens: what is learned of each, and what of a longer one is not.

TRL cuts the end of a row, and passes over a row of which the cut leaves no reply, without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from os.path import commonprefix

from trimtab.errors import InputError, Problem
from trimtab.models.local import LocalModel
from trimtab.records.record import Record
from trimtab.records.write import to_trl

MAX_LENGTH = 384  # tokens of a record in the chat template; pairs are never cut
WHOLE = (".", "!", "?", ":", '"', "'", "”", "’", ")", "]", "`", "*", "…", "。")  # what a reply may end with


@dataclass(frozen=True)
class Fitted:
    """Records to learn from, how many of them lose their end, and those left out, of whose reply nothing would be left."""

    kept: Sequence[Record]
    cut: int = 0
    left_out: Sequence[Record] = ()


def fitted(model: LocalModel, records: Sequence[Record]) -> Fitted:
    """Sort records by what `MAX_LENGTH` leaves of them; raises InputError when it leaves nothing of any."""
    lengths = [_lengths(model, r) for r in records]
    kept = [r for r, (before, _) in zip(records, lengths, strict=True) if before < MAX_LENGTH]
    left_out = [r for r, (before, _) in zip(records, lengths, strict=True) if before >= MAX_LENGTH]
    if left_out and not kept:
        what = f"{NO_ROOM}, in all {len(left_out)} of them"
        raise InputError(Problem("train.no-room", "the records to train on", what, "Shorten the prompts."))
    return Fitted(kept, sum(before < MAX_LENGTH < whole for before, whole in lengths), left_out)


NO_ROOM = f"what stands before the reply fills the {MAX_LENGTH} tokens that are read"


def _lengths(model: LocalModel, record: Record) -> tuple[int, int]:
    """Return the tokens before what is learned of a record, and all of it, as TRL counts them."""
    if record.kind == "pair":
        return 0, 0
    if record.kind == "document":
        (text,) = to_trl([record])
        return 0, len(model.tokenizer(text["text"])["input_ids"]) + 1  # and the end of the text
    if record.kind == "sft":
        tokens = row(model, record)
        return tokens["labels"].count(-100), len(tokens["input_ids"])
    chosen, rejected = ([m.model_dump() for m in turns or ()] for turns in (record.chosen, record.rejected))
    shared = len(list(takewhile(lambda turns: turns[0] == turns[1], zip(chosen, rejected, strict=False))))
    template = model.tokenizer.apply_chat_template
    texts = [template(chosen[:shared], tokenize=False, add_generation_prompt=True)]
    texts += [template(turns, tokenize=False) for turns in (chosen, rejected)]
    tokens_of = [model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    return len(commonprefix(tokens_of)), max(map(len, tokens_of[1:]))  # noqa: RUF071  tokens are meant


def row(model: LocalModel, record: Record) -> dict[str, list[int]]:
    """Return the tokens of a conversation, and labels that leave out all but the last turn.

    The end of a reply that stops in mid-sentence is left out too: it was cut, and to stop there is not a lesson.
    """
    turns = [m.model_dump() for m in record.messages or ()]
    template = model.tokenizer.apply_chat_template
    whole: str = template(turns, tokenize=False)
    # Some templates write more before a reply than they ask for it with: what both begin with is the prompt.
    prompt: str = template(turns[:-1], tokenize=False, add_generation_prompt=True)
    asked = commonprefix([prompt, whole])  # noqa: RUF071  characters are meant
    reply = turns[-1]["content"].strip()
    if not reply.endswith(WHOLE) and reply in whole[len(asked) :]:
        whole = whole[: whole.rindex(reply) + len(reply)]
    before, learned = (
        model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (asked, whole[len(asked) :])
    )
    return {"input_ids": before + learned, "labels": [-100] * len(before) + learned}
