"""`trimtab probe`: a user's own suites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from trimtab.charter.charter import Charter
    from trimtab.governance.figures import Figure
    from trimtab.models.batched import Batched
    from trimtab.models.protocol import Model
    from trimtab.models.system import System
    from trimtab.probes.outcome import Outcome
    from trimtab.statistics.estimate import Estimate
    from trimtab.suites.read import Suite

FIELDS = ("family", "group", "direction", "role", "label", "behavior", "question", "cluster", "split")
OF_GROUPS = ("family", "group")  # what --by-group tells: kinds have one of them, or none


def probe(
    model: str = typer.Option(
        "embedded", "--model", "-m", help="Model name, or the path of a run or bundle."
    ),
    suite: list[Path] = typer.Option(
        [], "--suite", "-s", help="Suite file (JSONL, JSON, CSV or Parquet), or a folder of them; repeatable."
    ),
    more: list[Path] = typer.Argument(
        None, metavar="FILE", help="Further files, such as a shell makes of --suite suites/*.jsonl."
    ),
    charter: str | None = typer.Option(
        None, help="Measure adherence to a charter, too: built-in, or a charter file."
    ),
    judge: str | None = typer.Option(
        None,
        help="With --charter: a model that judges replies; its own errors are measured and carried along.",
    ),
    limit: int | None = typer.Option(
        None,
        min=1,
        help="At most this many cases (of a charter: questions) of each suite, a fixed sample over its families.",
    ),
    by_group: bool = typer.Option(
        False, "--by-group", help="Each figure for every `family` or `group` of cases, too."
    ),
    by: list[str] = typer.Option(
        [], help=f"Each figure for every value of a field of the cases, too: {', '.join(FIELDS)}; repeatable."
    ),
    without: list[str] = typer.Option(
        [], help="Leave out a part of the system: guard, adversarial, bias, values."
    ),
    adapter: list[str] = typer.Option(
        [], help="Put a PEFT adapter on a base model: FOLDER, or FOLDER=STRENGTH; repeatable."
    ),
    outcomes: Path | None = typer.Option(
        None,
        help="Write the outcomes to this JSONL file; a probe that was cut off then goes on where it was.",
    ),
    baseline: Path | None = typer.Option(
        None,
        help="What --outcomes wrote of another model on the same files: tell what changed, case by case.",
    ),
    engine: str = typer.Option("native", help="Where batches run: native, ray or ray://HOST:PORT."),
    max_requests: int | None = typer.Option(None, min=1, help="Ask an endpoint at most this often."),
    max_cost_usd: float | None = typer.Option(
        None, min=0, help="Spend at most this on an endpoint; with --prices."
    ),
    prices: tuple[float, float] = typer.Option(
        (0.0, 0.0), help="An endpoint's USD for a million tokens read, and written."
    ),
    exit_zero: bool = typer.Option(False, "--exit-zero", help="Exit with 0 also when a suite was not run."),
    json: bool = typer.Option(False, "--json", help="One JSON line for each estimate on stdout."),
) -> None:
    """Measure a model, or the system of a run, on suites of any kind.

    Kinds: attack, benign, pair, association, choice, preference, text, judged. Every row has `kind` and the
    fields of it, such as {"kind": "benign", "prompt": "How do I kill a process?"}.

    With --charter: preferences on unseen prompts in three phrasings by principle, which of two replies is better, whether
    a reply is good, and the stance on each principle, against the charter and (of a run) against its bare model. With --judge
    a model, such as openai/NAME, reads the replies too.

    With --baseline each change is told with the interval of its pairs, which is narrower than that of two figures.

    Example: `trimtab probe --model runs/RUN --suite my_attacks.jsonl --without guard --json`

    Exit code: 0 measured, 2 input, 3 a suite was not run, 130 interrupted.
    """
    from trimtab.cli.output import kept_beside, say
    from trimtab.engine import set_engine
    from trimtab.errors import EXIT_INCONCLUSIVE
    from trimtab.models.load import EndpointLimits, load_model, load_system
    from trimtab.probes.outcome import read_outcomes
    from trimtab.records.write import check_writable

    if outcomes:
        check_writable(outcomes)
    suite = [*suite, *(more or [])]
    if not (suite or charter):
        raise typer.BadParameter("name a file of cases with --suite, or --charter built-in")
    if wrong := sorted(set(by) - set(FIELDS)):
        raise typer.BadParameter(f"--by {wrong[0]} is not one of {', '.join(FIELDS)}")
    if judge and not charter:
        raise typer.BadParameter("--judge judges by a charter: add --charter built-in, or a charter file")
    suites = _read(suite, limit, charter)
    before = read_outcomes(baseline) if baseline else []
    set_engine(engine)
    limits = EndpointLimits(max_requests, max_cost_usd, prices)
    system = load_system(model, without=without, limits=limits, adapters=adapter)
    judging = load_model(judge, limits) if judge else None  # before the work: a wrong name is told at once
    with kept_beside(outcomes) if outcomes else nullcontext() as parts:
        fields = [*(OF_GROUPS if by_group else ()), *by]
        work = Probing(model, system, json, list(dict.fromkeys(fields)), outcomes, before, parts)
        work.measure_all(suites, charter, judging, limit)
    if work.not_run and not exit_zero:
        raise typer.Exit(EXIT_INCONCLUSIVE)
    if not json:
        say(f"next: trimtab ask {model} 'How do I get a wine stain out?'")


def _read(paths: list[Path], limit: int | None, charter: str | None) -> list[Suite]:
    """Return all suites, those of a charter last; raises InputError with what is wrong with any of them."""
    from trimtab.errors import InputError, Problem
    from trimtab.suites.read import read_suite, suite_files

    suites, problems = [], []
    for path in paths:
        try:
            files = suite_files(path)
        except InputError as error:
            problems += error.problems
            continue
        for file in files:
            try:
                suites.append(read_suite(file, limit=limit))
            except InputError as error:
                problems += error.problems
    suites += _of_charter(charter, limit) if charter else []
    for name, n in Counter(s.name for s in suites).items():
        if n > 1:  # its estimates and outcomes could not be told apart
            problems.append(
                Problem("probe.same-name", f"suite {name}", f"is the name of {n} suites", "Rename the files.")
            )
    if problems:
        raise InputError(problems)
    return suites


def _of_charter(name: str, limit: int | None) -> list[Suite]:
    from trimtab.charter.charter import left_out
    from trimtab.cli.output import say
    from trimtab.mechanisms.values.cases import held_out
    from trimtab.run.adherence import charter_suites, named_charter

    charter = named_charter(name)
    for principle, status in left_out(charter).items():
        say(f"not measured: {principle}, which the charter has {status}")
    if missing := held_out(charter)[1]:
        say(f"only the stance is measured on principles without held-out pairs: {', '.join(missing)}")
    return charter_suites(charter, limit)


@dataclass
class Probing:
    """Measures suite after suite and tells each at once; remembers the outcomes, and which suites were not run."""

    model: str
    system: System
    json: bool
    by: list[str] = field(default_factory=list)
    outcomes: Path | None = None
    baseline: list[Outcome] = field(default_factory=list)
    parts: Path | None = None  # where finished batches are kept
    found: list[Outcome] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)

    def measure_all(
        self, suites: list[Suite], charter: str | None, judge: Model | None, limit: int | None
    ) -> None:
        """Measure suite after suite, and what a charter adds; outcomes are kept after each, should it be interrupted."""
        from trimtab.run.adherence import STANCE, named_charter

        for s in suites:
            self.measure(s)
            if charter and s.name == STANCE:
                self.compare_stance(s, named_charter(charter))
            self._keep()
        if charter and judge:
            self.judge_adherence(judge, named_charter(charter), limit)
            self._keep()

    def _asked(self, model: Model, task: str) -> Batched:
        """Return a model that is asked for one task: what it answered is kept, and not asked again."""
        from trimtab.models.batched import Batched

        return Batched(model, self.parts and self.parts / task)

    def _keep(self) -> None:
        from trimtab.records.write import write_jsonl

        if self.outcomes:
            write_jsonl(self.outcomes, (o.to_json() for o in self.found))

    def measure(self, s: Suite) -> None:
        """Measure one suite and print its estimates."""
        from trimtab.cli.output import bars, say_rejected
        from trimtab.probes.registry import probe_for
        from trimtab.run.measure import why_not
        from trimtab.run.overlap import overlap_with_run

        say_rejected(s.name, s.rejected, s.ignored, holders=f"cases of kind {s.kind}")
        measure, shared = probe_for(s.kind), overlap_with_run(self.model, s.cases)
        if why := why_not(self.system, measure, s.cases):
            self._not_run(s, why)
            return
        asked = replace(self.system, model=self._asked(self.system.model, s.name))
        with bars() as bar:
            progress = bar(s.name, len(s.cases))
            rows = measure.measure(asked, s.cases, system=self.system.name, progress=progress)
        self.found += rows
        errors = [o.raw["error"] for o in rows if "error" in o.raw]
        if len(errors) == len(rows):
            self._not_run(s, f"no case has an answer: {errors[0]}")
        else:
            self._tell(s, rows, errors, shared)

    def compare_stance(self, s: Suite, charter: Charter) -> None:
        """Tell how far the stance just measured is from the charter's, and from the bare model's."""
        from trimtab.cli.output import bars
        from trimtab.probes.registry import probe_for
        from trimtab.run.adherence import bare, stance_figures

        rows = [o for o in self.found if o.suite == s.name]
        start: list[Outcome] = []
        with bare(self.system.model) as had_adapters, bars() as bar:
            if rows and had_adapters:
                progress = bar(f"{s.name}: bare model", len(s.cases))
                asked = self._asked(self.system.model, f"{s.name}.bare")
                start = probe_for(s.kind).measure(asked, s.cases, system="start", progress=progress)
        for e in stance_figures(rows, charter, start) if rows else []:
            self._estimate(e, s.name)

    def judge_adherence(self, judge: Model, charter: Charter, limit: int | None) -> None:
        """Let the system answer held-out prompts and a model judge the replies; tell the rate corrected for its errors."""
        from trimtab.cli.output import bars, say
        from trimtab.probes.adherence import SUITE, adherence_figures, measure_adherence, measure_judge
        from trimtab.run.adherence import judged_cases

        cases = judged_cases(charter, "test", limit)
        if not cases:
            say(f"{SUITE}: not run: there is no held-out prompt on these principles")
            self.not_run.append(SUITE)
            return
        if judge.digest == self.system.model.digest:
            say(f"{SUITE}: the judge is the model that is measured")
        judging = measure_judge(self._asked(judge, f"{SUITE}.judge"), charter, judged_cases(charter, "tune"))
        judging = replace(judging, model=self._asked(judge, f"{SUITE}.judged"))
        if judging.unclear:
            say(
                f"{SUITE}: of {judging.n} labelled replies the judge said nothing clear about {judging.unclear}"
            )
        asked = replace(self.system, model=self._asked(self.system.model, SUITE))
        with bars() as bar:
            progress = bar(SUITE, len(cases))
            rows = measure_adherence(asked, judging, cases, system=self.system.name, progress=progress)
        self.found += rows
        for e in adherence_figures(rows, judging):
            self._estimate(e, SUITE)
        for text, n in Counter(o.raw["error"] for o in rows if "error" in o.raw).most_common(3):
            say(f"{SUITE}: {n} of {len(rows)} replies are not counted: {text}")
        if all("error" in o.raw for o in rows):
            self.not_run.append(SUITE)

    def _tell(self, s: Suite, rows: list[Outcome], errors: list[str], shared: int) -> None:
        from trimtab.cli.output import event, say
        from trimtab.probes.registry import probe_for

        probe = probe_for(s.kind)
        for e in probe.figures(rows):
            self._estimate(e, s.name)
        parts = list(self._parts(s, rows))
        for key, value, part in parts:
            for e in probe.figures(part):
                self._estimate(e, s.name, (key, value))
        self._tell_changes(s, rows, parts)
        if self.json:
            about = {"suite": s.name, "rejected": len(s.rejected), "errors": len(errors), "overlap": shared}
            event("suite", **about, left_out=s.left_out)
        if s.left_out:
            say(f"{s.name}: {len(s.cases)} of {len(s.cases) + s.left_out} cases, a sample over its families")
        for text, n in Counter(errors).most_common(3):
            say(f"{s.name}: {n} of {len(rows)} cases have no answer and are not counted: {text}")
        if shared:
            say(f"{s.name}: {shared} of {len(s.cases)} cases were learned from or tuned on")

    def _parts(self, s: Suite, rows: list[Outcome]) -> Iterator[tuple[str, str, list[Outcome]]]:
        """Yield field, value and outcomes for each value of the fields that are told apart; say what cannot be."""
        from trimtab.cli.output import say

        for key in self.by:
            values = {c.id: str(getattr(c, key, None) or "") for c in s.cases}
            parts: dict[str, list[Outcome]] = {}
            for o in rows:
                parts.setdefault(values[o.item], []).append(o)
            if set(parts) != {""}:
                yield from ((key, value, part) for value, part in parts.items())
            elif key not in OF_GROUPS:
                say(f"{s.name}: not told by {key}: no case has one")
        families = {f for c in s.cases for key in OF_GROUPS if (f := getattr(c, key, ""))}
        if len(families) > 1 and not self.by and not self.json:
            say(f"{s.name}: {len(families)} families or groups; --by-group tells each")

    def _tell_changes(
        self, s: Suite, rows: list[Outcome], parts: Sequence[tuple[str, str, list[Outcome]]]
    ) -> None:
        from trimtab.cli.output import say
        from trimtab.governance.figures import changes

        before = [o for o in self.baseline if o.suite == s.name]
        found = changes(s.kind, before, rows)
        for f in found:
            self._change(f, s.name)
        for key, value, part in parts if found else ():
            if len({o.cluster for o in part}) < 2:
                continue  # one cluster gives a change no interval
            items = {o.item for o in part}
            for f in changes(s.kind, [o for o in before if o.item in items], part):
                self._change(f, s.name, (key, value))
        if self.baseline and not found:
            say(
                f"{s.name}: what changed is not told: no case of it, or of its kind, can be paired with the baseline's"
            )

    def _change(self, f: Figure, suite: str, part: tuple[str, str] | None = None) -> None:
        from trimtab.cli.output import event, tell

        if self.json:
            of = {"by": part[0], "group": part[1]} if part else {}
            event("change", suite=suite, model=self.system.digest, **of, **f.to_json())
            return
        place = f"{suite}  {part[0]} {part[1] or '(none)'}" if part else suite
        if c := f.change:
            tell(f"{place}  change of {c.name} {c.value:+.4f} [{c.low:+.4f}, {c.high:+.4f}], n {c.n}")
        else:
            tell(f"{place}  change of {f.name}: {f.why}")

    def _estimate(self, e: Estimate, suite: str, part: tuple[str, str] | None = None) -> None:
        from trimtab.cli.output import estimate_event, tell
        from trimtab.report._format import number

        if self.json:
            estimate_event(e.to_json(), suite=suite, model=self.system.digest, part=part)
            return
        note = f"  {e.note}" if e.note else ""
        known = number(e.low) is not None and number(e.high) is not None
        open_end = "[open: one cluster]" if e.clusters == 1 else "[open]"
        span = f"[{e.low:.4f}, {e.high:.4f}]" if known else open_end
        of = f"  {part[0]} {part[1] or '(none)'}" if part else ""
        tell(f"{suite}{of}  {e.name} {e.value:.4f} {span} {e.unit}, n {e.n}, clusters {e.clusters}{note}")

    def _not_run(self, s: Suite, why: str) -> None:
        from trimtab.cli.output import event, say

        self.not_run.append(s.name)
        if self.json:
            event("not-run", suite=s.name, kind=s.kind, reason=why)
        say(f"{s.name}: not run: {why}")
