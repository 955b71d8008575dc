"""All adapters at once: what they cost together takes them down, the strongest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from trimtab.models.local import LocalModel
from trimtab.models.protocol import Answer, Capabilities, Likelihood, Messages, Question
from trimtab.run.measure import Suites
from trimtab.run.together import settle
from trimtab.suites.case import KINDS

LOOP = "the day " * 20


class Looping:
    """Loops when the strengths add up to more than `most`; its texts cost `nll` more for each unit of strength.

    It loops on requests that begin with `only`.
    """

    name, digest = "looping", "a" * 64
    capabilities = Capabilities(loglikelihood=True, trainable=True)

    def __init__(self, most: float, nll: float = 0.0, only: str = "") -> None:
        self.most, self.nll, self.only, self.strength = most, nll, only, 0.0

    def set_adapters(self, strengths: Mapping[Path, float]) -> None:
        self.strength = sum(strengths.values())

    def generate(self, prompts: Sequence[Messages], **_: Any) -> list[Answer]:
        loops = [self.strength > self.most and p[0]["content"].startswith(self.only) for p in prompts]
        return [Answer(LOOP if lost else "Go down to the river.", 5, True) for lost in loops]

    def loglikelihood(self, questions: Sequence[Question], **_: Any) -> list[Likelihood]:
        return [Likelihood(-30.0 - self.nll * self.strength, 10, False)] * len(questions)


def suites() -> Suites:
    rows = {"ordinary": ("benign", "prompt"), "twins": ("benign", "prompt"), "text": ("text", "text")}
    return {
        name: (
            kind,
            [
                KINDS[kind].model_validate(
                    {"id": f"{name}{i}", "suite": name, "cluster": str(i), field: f"{name}: how?"}
                )
                for i in range(2)
            ],
        )
        for name, (kind, field) in rows.items()
    }


def points(bias: float, values: float) -> list[dict[str, Any]]:
    chosen = {"bias": bias, "values": values}
    return [
        {"mechanism": m, "strength": s, "chosen": s == chosen[m]}
        for m in chosen
        for s in (0.0, 0.5, 0.75, 1.0)
    ]


def settled(model: Looping, made: list[dict[str, Any]], folder: Path) -> tuple[dict[str, float], list[Any]]:
    steps = settle(cast("LocalModel", model), folder, made, suites(), lambda *_: lambda n: None)
    return {p["mechanism"]: p["strength"] for p in made if p["chosen"]}, [s["within"] for s in steps]


@pytest.mark.parametrize(
    ("model", "strengths", "steps"),
    [
        (Looping(9), (1.0, 0.75), [True, True]),
        (Looping(1.5), (0.75, 0.75), [True, False, True]),
        (Looping(1.5, only="ordinary"), (0.75, 0.75), [True, False, True]),
        (Looping(1.5, only="twins"), (0.75, 0.75), [True, False, True]),
        (Looping(1.0), (0.5, 0.5), [True, False, False, False, True]),
        (Looping(0.1), (0.0, 0.0), [True, *[False] * 5]),
        (Looping(9, nll=0.19), (0.75, 0.75), [True, False, True]),
    ],
)
def test_the_strongest_goes_down_until_all_is_within_its_limits(
    model: Looping, strengths: tuple[float, float], steps: list[bool], tmp_path: Path
) -> None:
    chosen, within = settled(model, points(1.0, 0.75), tmp_path)
    assert (chosen["bias"], chosen["values"]) == strengths
    assert within == steps
    assert model.strength == 0


def test_of_equals_the_adversarial_adapter_goes_down_last(tmp_path: Path) -> None:
    names = ("bias", "values", "adversarial")
    made = [{"mechanism": m, "strength": s, "chosen": s == 1.0} for m in names for s in (0.0, 0.5, 1.0)]
    steps = settle(cast("LocalModel", Looping(2.0)), tmp_path, made, suites(), lambda *_: lambda n: None)
    assert {p["mechanism"]: p["strength"] for p in made if p["chosen"]} == dict(
        zip(names, (0.5, 0.5, 1.0), strict=True)
    )
    assert [s["within"] for s in steps] == [True, False, False, True]


def test_nothing_chosen_is_not_measured(tmp_path: Path) -> None:
    assert settled(Looping(0.0), points(0.0, 0.0), tmp_path) == ({"bias": 0.0, "values": 0.0}, [])
