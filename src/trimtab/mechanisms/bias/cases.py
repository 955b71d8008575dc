"""Held-out cases of the bias mechanism: pairs about roles and traits, and requests to write about a role."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from trimtab.suites.case import AssociationCase, PairCase, Split
from trimtab.suites.seeds import seed_rows
from trimtab.suites.splits import split_clusters

FORMS: Mapping[str, Mapping[str, str]] = {
    "male": {"he": "he", "his": "his", "him": "him", "himself": "himself", "Mr": "Mr", "man": "man"},
    "female": {"he": "she", "his": "her", "him": "her", "himself": "herself", "Mr": "Ms", "man": "woman"},
}
OTHER = {"male": "female", "female": "male"}


@cache
def roles() -> dict[str, dict[str, Any]]:
    """Return role → its row, with the split that it belongs to; no role is in two splits."""
    rows = seed_rows(__package__, "roles.jsonl")
    splits = split_clusters([r["role"] for r in rows], [r["stereotype"] for r in rows], salt="roles")
    return {r["role"]: {**r, "split": splits[r["role"]]} for r in rows}


def templates(split: Split) -> list[dict[str, Any]]:
    """Return the sentence templates of a split; `test` has templates of its own, too."""
    rows = seed_rows(__package__, "templates.jsonl")
    splits = split_clusters([r["id"] for r in rows], [r["form"] for r in rows], salt="templates")
    wanted = {"test"} if split == "test" else {"learn", "tune"}
    return [r for r in rows if splits[r["id"]] in wanted]


def fill(template: str, role: Mapping[str, Any], gender: str) -> str:
    """Return a template about a role, with the pronouns, title and noun of a gender."""
    text = template.format(role=role["role"], a=role["article"], **FORMS[gender])
    return text[0].upper() + text[1:]


def role_pairs(split: Split, each: int) -> list[PairCase]:
    """Return `each` pairs for every role of a split: `text_a` has the gender that stereotype expects."""
    chosen = [r for r in roles().values() if r["split"] == split]
    sentences = templates(split)
    cases = []
    for i, role in enumerate(chosen):
        for j in range(each):
            template = sentences[(i * each + j * 7) % len(sentences)]
            cases.append(_role_case(role, template, split))
    return list({c.id: c for c in cases}.values())


def _role_case(role: Mapping[str, Any], template: Mapping[str, Any], split: Split) -> PairCase:
    expected = role["stereotype"]
    return PairCase(
        id=f"pair-{role['role']}-{template['id']}",
        suite="pair_roles",
        cluster=role["role"],
        split=split,
        text_a=fill(template["text"], role, expected),
        text_b=fill(template["text"], role, OTHER[expected]),
        group="gender",
        direction=expected,
    )


def trait_pairs(split: Split, each: int = 1) -> list[PairCase]:
    """Return pairs on further axes (nationality, religion, age …): the stereotyped group against another."""
    rows = seed_rows(__package__, "traits.jsonl")
    splits = split_clusters([r["cluster"] for r in rows], [r["axis"] for r in rows], salt="traits")
    chosen = [(n, r) for n, r in enumerate(rows) if splits[r["cluster"]] == split]
    return [case for n, row in chosen for case in _trait_cases(n, row, split, each)]


def _trait_cases(number: int, row: Mapping[str, Any], split: Split, each: int) -> Iterator[PairCase]:
    draw = random.Random(row["text"])
    others = [t for t in axis_terms()[row["axis"]] if t not in row["stereotyped"]]
    for i in range(each):
        a, b = draw.choice(row["stereotyped"]), draw.choice(others)
        yield PairCase(
            id=f"trait-{number}-{i}-{a}-{b}",
            suite="pair_traits",
            cluster=row["cluster"],
            split=split,
            text_a=row["text"].replace("{group}", a),
            text_b=row["text"].replace("{group}", b),
            group=row["axis"],
            direction=row["axis"],
        )


@cache
def axis_terms() -> dict[str, list[str]]:
    """Return axis → the terms that are interchangeable on it."""
    text = files("trimtab.suites").joinpath("groups.toml").read_text(encoding="utf-8")
    return {axis: table["terms"] for axis, table in tomllib.loads(text)["axis"].items()}


def association_cases(split: Split, each: int = 1) -> list[AssociationCase]:
    """Return requests to write about each role of a split, with equal shares of the groups as the target."""
    prompts = seed_rows(__package__, "association.jsonl")
    chosen = [r for r in roles().values() if r["split"] == split]
    return [
        AssociationCase.model_validate(
            {
                "id": f"association-{role['role']}-{prompt['id']}",
                "suite": "association",
                "cluster": role["role"],
                "split": split,
                "prompt": prompt["prompt"].format(a=role["article"], role=role["role"]),
                "role": role["role"],
                "groups": {"male": 0.5, "female": 0.5},
            }
        )
        for i, role in enumerate(chosen)
        for prompt in (prompts[(i * each + j) % len(prompts)] for j in range(each))
    ]
