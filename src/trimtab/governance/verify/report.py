"""What verification found, and at which level it looked."""

from __future__ import annotations

from dataclasses import dataclass, field

from trimtab.errors import EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_PASS

RECOMPUTED, REJUDGED, RERUN = "recomputed", "re-judged", "re-run"
UNAUTHENTICATED = "self-consistent, signer not authenticated"


@dataclass(frozen=True)
class Finding:
    """Something that does not hold, or is due: a stable code and what it is about."""

    code: str
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message} [{self.code}]"


@dataclass
class Report:
    """Failures, what is due, what was asked for and could not be decided, and notes.

    `authenticated` when keys from outside vouch for the signers; `levels` are those at which everything was looked at.
    """

    failures: list[Finding] = field(default_factory=list)
    due: list[Finding] = field(default_factory=list)
    undecided: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    authenticated: bool = False
    levels: list[str] = field(default_factory=lambda: [RECOMPUTED])

    def must(self, holds: bool, code: str, place: str, message: str) -> bool:
        """Note a failure unless it holds."""
        if not holds and (finding := Finding(code, place, message)) not in self.failures:
            self.failures.append(finding)
        return holds

    @property
    def level(self) -> str:
        """The levels, by name."""
        return ", ".join(self.levels)

    @property
    def codes(self) -> set[str]:
        """The codes of all failures."""
        return {f.code for f in self.failures}

    @property
    def exit_code(self) -> int:
        """1 with a failure; 3 where something is due or undecided, or nobody vouched for the signers; else 0."""
        if self.failures:
            return EXIT_FAIL
        return EXIT_PASS if self.authenticated and not self.due and not self.undecided else EXIT_INCONCLUSIVE

    @property
    def result(self) -> str:
        """The result in words."""
        if self.failures:
            return f"{len(self.failures)} failures"
        words = ["due"] * bool(self.due) + ["undecided"] * bool(self.undecided) or ["holds"]
        return ", ".join([*words, *([] if self.authenticated else [UNAUTHENTICATED])])
