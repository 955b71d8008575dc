"""How a tally reads in a terminal; statements are other people's text, shown on one line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from trimtab.report._format import cut

if TYPE_CHECKING:
    from trimtab.charter.tally import Tally

WIDTH = 90
LEFT_OUT = 12  # ids


def lines(counted: Tally, top: int) -> Iterator[str]:
    """Yield the lines of a tally: `top` statements of each list."""
    found = counted.to_json()
    texts = {s.id: s.text for s in counted.votes.statements}
    yield (
        f"{found['votes']:,} votes of {found['participants']:,} people on {found['statements']:,} statements "
        f"({found['kind']}); {found['left_out']} statements left out"
    )
    for reason, ids in found["left_out_because"].items():
        more = f" and {len(ids) - LEFT_OUT} more" if len(ids) > LEFT_OUT else ""
        yield f"left out, {reason}: {', '.join(cut(i, 20) for i in ids[:LEFT_OUT])}{more}"
    yield from (f"note: {note}" for note in found["notes"])
    yield from _groups(found["groups"])
    if found["consensus"]:
        yield from _consensus(found["consensus"], top)
        yield from _representative(found, texts)
        yield from _divides(found["divides"][:top], texts)
    yield from _rankings(found, texts, top)


def named(ident: str, texts: dict[str, str], width: int = WIDTH) -> str:
    """Return a statement's id and text on one line."""
    text = texts.get(ident, "")
    return cut(f"{ident}: {text}" if text else ident, width)


def _groups(groups: dict[str, Any]) -> Iterator[str]:
    if "not_run" in groups:
        yield f"groups and consensus: not run: {groups['not_run']}"
        return
    sizes = ", ".join(f"{cut(name, 20)} {n:,}" for name, n in groups["sizes"].items())
    line = f"groups: {sizes}; {groups['unplaced']:,} people not placed"
    if groups["unplaced"]:
        line += " (they count in approval, Borda, Copeland and Schulze alone)"
    line += "; found in these votes" if groups["origin"] == "own" else "; given with the votes"
    if groups["silhouettes"]:
        line += f"; silhouette {max(groups['silhouettes'].values()):.2f}"
    for key, what in (
        ("given_agreement", "with the export's groups"),
        ("stability", "with ten random starts"),
    ):
        value = groups[key]
        if value is not None and math.isfinite(value):
            line += f"; adjusted Rand index {what} {value:.2f}"
    yield line


def _consensus(rows: list[dict[str, Any]], top: int) -> Iterator[str]:
    yield ""
    yield (
        "consensus across groups: product of the groups' shares of agreement, the smallest (min), their geometric mean, "
        "each [95 %]; who agreed of those who saw it"
    )
    yield from (_row(row, "group_aware") for row in rows[:top])
    seen = [r for r in rows if all(g["seen"] for g in r["groups"])]
    against = sorted(seen, key=lambda r: -r["figures"]["group_aware_against"]["value"])
    yield ""
    yield "consensus against, in the same way: product of the shares of disagreement [95 %]; who disagreed"
    yield from (_row(row, "group_aware_against") for row in against[: max(1, top // 2)])


def _row(row: dict[str, Any], figure: str) -> str:
    figures = row["figures"]
    key = "agreed" if figure == "group_aware" else "disagreed"
    groups = " ".join(f"{cut(g['group'], 8)} {g[key]}/{g['seen']}" for g in row["groups"])
    more = (
        f"  min {_span(figures['minimum'])}  mean {_span(figures['geometric_mean'])}"
        if key == "agreed"
        else ""
    )
    return f"  {_span(figures[figure])}{more}  seen by {100 * row['coverage']:.0f} %  {groups}  {named(row['id'], {row['id']: row['text']}, 70)}"


def _span(figure: dict[str, Any]) -> str:
    return f"{figure['value']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]"


def _representative(found: dict[str, Any], texts: dict[str, str]) -> Iterator[str]:
    for group, rows in found["representative"].items():
        yield ""
        yield f"stands for {cut(group, 20)} (the groups come from the same votes: read as description)"
        for r in rows:
            sign = "agrees   " if r["side"] == "agree" else "disagrees"
            weak = "" if r["significant"] else "  (weak)"
            yield (
                f"  {sign} {r['successes']:.0f}/{r['trials']:.0f}, {r['repness']:.1f} times as often as the others"
                f"{weak}  {named(r['statement'], texts)}"
            )


def _divides(rows: list[dict[str, Any]], texts: dict[str, str]) -> Iterator[str]:
    if rows:
        yield ""
        yield "divides: largest minus smallest share of agreement [95 %]"
    for row in rows:
        yield (
            f"  {_span(row['spread'])}  {cut(row['most'], 8)} most, "
            f"{cut(row['least'], 8)} least  {named(row['statement'], texts)}"
        )


def _rankings(found: dict[str, Any], texts: dict[str, str], top: int) -> Iterator[str]:
    yield ""
    winner = found["condorcet_winner"]
    yield "first by each rule; beats every other by majority: " + (
        "none" if winner is None else named(winner, texts)
    )
    for rule, first in found["first"].items():
        more = f" and {len(first) - 1} more" if len(first) > 1 else ""
        yield f"  {rule:12} {named(first[0], texts)}{more}"
    yield ""
    yield "where rules disagree: Kendall's tau of each pair (1 the same order)"
    for pair in found["accord"]:
        tau = f"{pair['tau']:.2f}" if math.isfinite(pair["tau"]) else "no order"
        yield f"  {pair['rules'][0]:12} {pair['rules'][1]:12} {tau}"
    if found["disputed"]:
        yield "places that differ most"
    else:
        yield "all rules give the same places"
    for row in found["disputed"][:top]:
        places = ", ".join(f"{rule} {place}" for rule, place in row["places"].items())
        yield f"  {places}  {named(row['statement'], texts, 60)}"
