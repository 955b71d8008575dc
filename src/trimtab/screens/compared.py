"""The checks that compare rows with each other and with real text, on samples that fit in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from trimtab.errors import InputError, Problem
from trimtab.records.read import Item, Rejected
from trimtab.records.shapes import ShapeError, to_record
from trimtab.screens.batch import texts_of
from trimtab.screens.bias import bias_findings
from trimtab.screens.fidelity import fidelity_findings, without_reference
from trimtab.screens.finding import Finding
from trimtab.screens.modelled import Models, fidelity_by_model, hazard_finding
from trimtab.screens.outliers import outlier_finding
from trimtab.screens.poison import trigger_finding
from trimtab.screens.preference import preference_findings
from trimtab.screens.replies import cluster_finding, label_finding
from trimtab.screens.reworded import reworded_finding
from trimtab.screens.sample import Sample
from trimtab.screens.settings import Settings
from trimtab.screens.sorting import Mark
from trimtab.screens.spread import Sign, spread

COMPARED = ("poison", "replies", "bias", "preference", "fidelity", "models")
_MOST_READ = 100_000


@dataclass
class RealText:
    """Texts of people: those of `rows` rows that were read, but for the `dropped`, by reason; `whole` if no more are there."""

    data: str
    texts: list[str] = field(default_factory=list)
    rows: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    whole: bool = True

    def told(self) -> str:
        """Return on one line how much was read, and what was not taken."""
        first = "" if self.whole else "the first "
        left = self.rows - len(self.texts)
        why = f", {left:,} left out{_reasons(self)}" if left else ""
        return f"reference {self.data}: {first}{self.rows:,} rows read, {len(self.texts):,} taken{why}"


@dataclass(frozen=True)
class Reference:
    """What rows are compared with: real texts, if any, and the models that the caller has loaded."""

    real: RealText | None = None
    models: Models = field(default_factory=Models)

    @property
    def texts(self) -> list[str] | None:
        """The real texts."""
        return self.real.texts if self.real else None


def read_real(rows: Iterable[Item], data: str) -> RealText:
    """Return the texts of the records among the first 100,000 `rows` of `data`; InputError when there are none."""
    rows, real = iter(rows), RealText(data)
    for place, row in islice(rows, _MOST_READ):
        real.rows += 1
        try:
            record = row if isinstance(row, Rejected) else to_record(row, place=place, checked=True)
        except ShapeError as error:
            real.dropped[error.code] += 1
            continue
        if isinstance(record, Rejected):
            real.dropped[record.code] += 1
        else:
            real.texts.append("\n".join(texts_of(record)))
    if not real.texts:
        fix = "Name real text in a shape that records have"
        raise InputError(Problem("screen.reference", data, f"holds no record{_reasons(real)}", fix))
    real.whole = next(rows, None) is None
    return real


def _reasons(real: RealText) -> str:
    return (
        f" ({', '.join(f'{n:,} {code}' for code, n in sorted(real.dropped.items()))})" if real.dropped else ""
    )


def compare_rows(
    sample: Sample,
    parts: Sequence[Path],
    reference: Reference,
    settings: Settings,
    *,
    mark: Mark,
    progress: Callable[[int], None],
) -> list[Finding]:
    """Return what a sample of the rows shows, against real texts where there are some; mark the rows that have it.

    `parts` are those of the scan that the sample was drawn from: rows outside of it that show the same are marked, too.
    """
    findings = _poison(sample, parts, settings, mark)
    progress(2)
    findings += bias_findings(sample)
    progress(1)
    findings += preference_findings(sample.choices, settings.seed)
    progress(1)
    findings += _against_real(sample, reference.texts, settings)
    progress(1)
    findings += fidelity_by_model(
        sample, reference.texts, reference.models.embed, most=settings.compared, seed=settings.seed
    )
    findings = [_looked_at(finding, len(sample)) for finding in findings]
    hazard, words = hazard_finding(sample, reference.models.blocks, most=settings.guarded, seed=settings.seed)
    mark.add(hazard.code, words)
    findings.append(_looked_at(hazard, hazard.estimate.n if hazard.estimate else 0))
    progress(1)
    return findings


def _looked_at(finding: Finding, rows: int) -> Finding:
    """Say how many rows were looked at where not all of them were: of the others nothing is known."""
    if not finding.drawn_from:
        return finding
    told = f"looked for in {rows:,} of all {finding.drawn_from:,} rows"
    return replace(finding, text=f"{finding.text}; {told}" if finding.text else told)


def _poison(sample: Sample, parts: Sequence[Path], settings: Settings, mark: Mark) -> list[Finding]:
    findings: list[Finding] = []
    signs: list[Sign] = []
    for find in (
        trigger_finding,
        reworded_finding,
        cluster_finding,
        lambda s: label_finding(s, settings.seed),
        lambda s: outlier_finding(s, settings.seed),
    ):
        finding, words, more = find(sample)
        mark.add(finding.code, words)
        findings.append(finding)
        signs += more
    if not sample.drawn_from:
        return findings
    everywhere = spread(parts, signs)
    for code, words in everywhere.items():
        mark.add(code, words)
    return [_everywhere(finding, len(everywhere.get(finding.code, ()))) for finding in findings]


def _everywhere(finding: Finding, rows: int) -> Finding:
    """Say how many of all rows show what a sample of them was found to hold."""
    told = f"{rows:,} of all {finding.drawn_from:,} rows show it"
    return replace(finding, text=f"{finding.text}; {told}") if rows else finding


def _against_real(sample: Sample, real: list[str] | None, settings: Settings) -> list[Finding]:
    if real is None:
        return without_reference()
    return fidelity_findings(sample.texts(), real, most=settings.compared, seed=settings.seed)
