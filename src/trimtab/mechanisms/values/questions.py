"""Choices that ask about a charter: the better of two replies, whether one is good, and whether a principle is held."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from trimtab.charter.charter import Charter, held
from trimtab.models.protocol import user
from trimtab.suites.case import ChoiceCase, PreferenceCase


@cache
def _words() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("questions.toml").read_text(encoding="utf-8"))


def better_cases(pairs: list[PreferenceCase]) -> list[ChoiceCase]:
    """Return for each pair two cases: which of the replies is better, the wanted one as A and as B."""
    about = _words()["better"]
    found = []
    for pair in pairs:
        for target, (first, second) in enumerate(
            [(pair.chosen, pair.rejected), (pair.rejected, pair.chosen)]
        ):
            text = about["text"].strip().format(prompt=pair.text, first=first, second=second)
            found.append(_case(pair, "better", f"{target}", text, about["letters"], target))
    return found


def good_cases(pairs: list[PreferenceCase]) -> list[ChoiceCase]:
    """Return for each pair four cases: is the wanted reply good, is the other one, with yes and with no named first."""
    return [case for pair in pairs for case in _good(pair)]


def _good(pair: PreferenceCase) -> Iterator[ChoiceCase]:
    about = _words()["good"]
    for wanted, reply in enumerate((pair.rejected, pair.chosen)):
        right = about["words"][1 - wanted]
        for turned in (False, True):
            order = about["words"][::-1] if turned else about["words"]
            text = about["text"].strip().format(
                prompt=pair.text, reply=reply, first=order[0], second=order[1]
            )  # fmt: skip
            yield _case(pair, f"good-{wanted}", f"{int(turned)}", text, order, order.index(right))


def _case(  # noqa: PLR0917
    pair: PreferenceCase, name: str, form: str, text: str, choices: list[str], target: int
) -> ChoiceCase:
    question = f"{name}-{pair.id}"
    return ChoiceCase(
        id=f"{question}-{form}", suite=f"choice_{name.partition('-')[0]}", cluster=pair.cluster,
        split=pair.split, prompt=user(text), choices=choices, target=target, group=pair.group, question=question,
    )  # fmt: skip


def stance_cases(charter: Charter, wordings: int | None = None) -> list[ChoiceCase]:
    """Return for each principle that is held its question, in every wording or the first ones, with the options in every rotation."""
    return [case for p in held(charter) for case in _stance(p.id, p.statement, wordings)]


def _stance(principle: str, statement: str, wordings: int | None) -> Iterator[ChoiceCase]:
    about = _words()["stance"]
    letters, options = about["letters"], about["options"]
    for w, wording in enumerate(about["texts"][:wordings]):
        for turn in range(len(options)):
            order = options[turn:] + options[:turn]
            listed = "\n".join(f"{a}: {o}" for a, o in zip(letters, order, strict=True))
            told = f"{', '.join(letters[:-1])} or {letters[-1]}"
            text = f"{wording.replace('{statement}', statement)}\n\n{listed}\n\nReply with {told}."
            yield ChoiceCase(
                id=f"stance-{principle}-{w}-{turn}", suite="stance", cluster=principle, prompt=user(text),
                choices=letters, target=order.index(options[0]), group=principle, question=principle,
            )  # fmt: skip
