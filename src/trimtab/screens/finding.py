"""The finding: what a screen says of a dataset, never a bare number."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from trimtab.records.toml import parse_toml
from trimtab.statistics.estimate import finite

if TYPE_CHECKING:
    from trimtab.statistics.estimate import Estimate

Severity = Literal["info", "minor", "serious"]
Status = Literal["found", "nothing found", "not run", "inconclusive"]
MOST_ROWS = 3


@dataclass(frozen=True)
class About:
    """What is known of a finding before any data is read: its words, what it cannot show, and which figure is worse.

    `marks` says whether single rows have it; other figures are of the dataset as a whole, and exclude no row.
    """

    title: str
    severity: Severity
    blind: str
    fix: str
    worse: Literal["higher", "lower"] = "higher"
    marks: bool = True


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    `code` is stable (``form.empty``); its part before the dot is the family. `estimate` is the share of rows or
    another figure, `null` the same figure of real text against real text. `rows` are up to three places, `text`
    says what was found in a sentence, `blind` what this does not show, `fix` what to do. `drawn_from` is the number of
    rows that the rows of `estimate` are a sample of, 0 where all rows were read.
    """

    code: str
    status: Status
    estimate: Estimate | None = None
    null: Estimate | None = None
    rows: tuple[str, ...] = ()
    text: str = ""
    drawn_from: int = 0

    @property
    def family(self) -> str:
        """The part of the code before the dot."""
        return self.code.partition(".")[0]

    @property
    def about(self) -> About:
        """The words of this finding."""
        return about(self.code)

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON values; a limit that is infinite becomes null."""
        row = {"code": self.code, "family": self.family, "status": self.status, **asdict(self.about)}
        figures = {k: finite(e.to_json()) if (e := getattr(self, k)) else None for k in ("estimate", "null")}
        return {**row, **figures, "rows": list(self.rows), "text": self.text, "drawn_from": self.drawn_from}


def not_run(code: str, why: str) -> Finding:
    """Return the finding of a check that did not run, and why."""
    return Finding(code, "not run", text=why)


def share_of_rows(
    code: str, found: int, n: int, rows: tuple[str, ...] = (), text: str = "", *, drawn_from: int = 0
) -> Finding:
    """Return the finding that `found` of `n` rows have it, with Wilson's 95 % interval of the source's rate.

    The share itself is exact for the rows that were read; the interval is of what else comes from that source, and of
    all `drawn_from` rows where those read are a sample of them.
    """
    from trimtab.statistics.estimate import Estimate
    from trimtab.statistics.intervals import wilson

    if n == 0:
        return not_run(code, "no row that it applies to")
    low, high = wilson(found / n, n)
    estimate = Estimate(code, found / n, low, high, n, n, "share")
    status: Status = "found" if found else "nothing found"
    return Finding(code, status, estimate, rows=rows[:MOST_ROWS], text=text, drawn_from=drawn_from)


@lru_cache(maxsize=1)
def abouts() -> dict[str, About]:
    """Return the words of every code, in the order in which findings are told."""
    data = files("trimtab.screens").joinpath("checks.toml").read_bytes()
    table = parse_toml(data, place="checks.toml", area="screens")
    return {
        f"{family}.{name}": About(**words) for family, codes in table.items() for name, words in codes.items()
    }


def about(code: str) -> About:
    """Return the words of one code; a code that is not in checks.toml is a KeyError."""
    return abouts()[code]
