"""The checks that compare rows with each other and with real text, on samples that fit in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from trimtab.errors import InputError, Problem
from trimtab.records.read import Rejected, iter_rows
from trimtab.records.shapes import ShapeError, to_record
from trimtab.screens.batch import texts_of
from trimtab.screens.bias import bias_findings
from trimtab.screens.fidelity import fidelity_findings, without_reference
from trimtab.screens.finding import Finding
from trimtab.screens.modelled import Models, fidelity_by_model, hazard_finding
from trimtab.screens.poison import trigger_finding
from trimtab.screens.preference import preference_findings
from trimtab.screens.replies import cluster_finding, label_finding
from trimtab.screens.reworded import reworded_finding
from trimtab.screens.sample import Sample
from trimtab.screens.settings import Settings
from trimtab.screens.sorting import Mark

COMPARED = ("poison", "replies", "bias", "preference", "fidelity", "models")
_MOST_READ = 100_000


@dataclass(frozen=True)
class Reference:
    """What rows are compared with: real texts, if any, and the models that the caller has loaded."""

    texts: list[str] | None = None
    models: Models = field(default_factory=Models)


def read_real(path: str) -> list[str]:
    """Return the texts of the records at `path`, of its first 100,000 rows; raises InputError when there are none."""
    texts = []
    for place, row in islice(iter_rows(path), _MOST_READ):
        if not isinstance(row, Rejected):
            try:
                texts.append("\n".join(texts_of(to_record(row, place=place, checked=True))))
            except ShapeError:
                continue
    if not texts:
        fix = "Name a file of real text in a shape that records have"
        raise InputError(Problem("screen.reference", path, "holds no record", fix))
    return texts


def compare_rows(
    sample: Sample, reference: Reference, settings: Settings, mark: Mark, progress: Callable[[int], None]
) -> list[Finding]:
    """Return what a sample of the rows shows, against real texts where there are some; mark the rows that have it."""
    findings: list[Finding] = []
    for find in (
        trigger_finding,
        reworded_finding,
        cluster_finding,
        lambda s: label_finding(s, settings.seed),
    ):
        finding, words = find(sample)
        mark.add(finding.code, words)
        findings.append(finding)
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
    hazard, words = hazard_finding(sample, reference.models.blocks, most=settings.guarded, seed=settings.seed)
    mark.add(hazard.code, words)
    findings.append(hazard)
    progress(1)
    return findings


def _against_real(sample: Sample, real: list[str] | None, settings: Settings) -> list[Finding]:
    if real is None:
        return without_reference()
    return fidelity_findings(sample.texts(), real, most=settings.compared, seed=settings.seed)
