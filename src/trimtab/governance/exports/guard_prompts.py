"""What documents say of the prompts that the guard was fitted on: no records, and counted beside them."""

from __future__ import annotations

from typing import Any

from trimtab.governance.exports.source import Source, plain

USES = {"learn": "learned from", "tune": "to set its threshold"}


def guard_prompts(source: Source) -> list[str]:
    """Return the lines; of a run whose evidence does not count them, the one that says where they come from."""
    if not (source.folder / "guard").exists():
        return []
    told = "The guard, a classifier beside the model, was fitted on prompts that come with trimtab"
    about = source.trained("guard").get("prompts")
    if not about:
        return [f"{told}."]
    passages = about["passages"]
    sizes = {use: sum(k["count"] for k in about["kinds"].values() if k["use"] == use) for use in USES}
    return [
        f"{told}: {sizes['learn']} that it could learn from and {sizes['tune']} to set its threshold, none of them among the "
        f"records. They are synthetic, written by `{plain(about['source'])}`, but for {passages['learn']} and {passages['tune']} of "
        f"them, which are around human-written text: {plain(passages['source'])}.",
        "", "| prompts of the guard | used | count | characters | SHA-256 of the list |", "|---|---|---|---|---|",
        *(_row(name, kind) for name, kind in about["kinds"].items()),
    ]  # fmt: skip


def _row(name: str, kind: dict[str, Any]) -> str:
    return f"| {plain(name)} | {USES[kind['use']]} | {kind['count']} | {kind['characters']} | `{plain(kind['digest'])}` |"
