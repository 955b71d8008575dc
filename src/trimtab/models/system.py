"""The system: a base model, adapters at their strengths, and a guard. It is what is probed, released and used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from trimtab.errors import ConfigError, ModelError, Problem
from trimtab.models.cache import folder_digest
from trimtab.models.guard import REPLY, Guard, guard_digest, load_guard
from trimtab.models.local import LocalModel
from trimtab.models.lora import write_sum
from trimtab.models.protocol import Answer, Capabilities, Likelihood, Messages, Model, Progress, Question
from trimtab.records.record import digest
from trimtab.records.write import write_json

FILE = "system.json"
PARTS = ("guard", "adversarial", "bias", "values")


@dataclass
class System:
    """A model behind an optional guard; it can be asked like any model.

    `adapters` has the SHA-256 of each adapter in the model, by mechanism.
    """

    model: Model
    guard: Guard | None = None
    strengths: dict[str, float] = field(default_factory=dict)
    adapters: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The base model's name and what was added to it."""
        added = [f"{m}×{s:g}" for m, s in self.strengths.items() if s] + (["guard"] if self.guard else [])
        return " + ".join([self.model.name, *added])

    @property
    def digest(self) -> str:
        """SHA-256 of the digests of base model, adapters and guard, and the adapters' strengths."""
        if not self.guard and not any(self.strengths.values()):
            return self.model.digest
        guard = self.guard.digest if self.guard else None
        used = {m: [str(s), self.adapters.get(m)] for m, s in self.strengths.items() if s}
        return digest({"model": self.model.digest, "adapters": used, "guard": guard})

    @property
    def capabilities(self) -> Capabilities:
        """Those of the base model."""
        return self.model.capabilities

    def generate(
        self,
        prompts: Sequence[Messages],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> list[Answer]:
        """Answer each conversation; one that the guard blocks is not passed on and gets the guard's reply."""
        blocked = self.guard.blocks(prompts) if self.guard else [False] * len(prompts)
        passed = [p for p, b in zip(prompts, blocked, strict=True) if not b]
        if progress:
            progress(len(prompts) - len(passed))
        made = iter(
            self.model.generate(
                passed, max_tokens=max_tokens, temperature=temperature, seed=seed, progress=progress
            )
            if passed
            else []
        )
        return [blocked_answer() if b else next(made) for b in blocked]

    def loglikelihood(
        self, questions: Sequence[Question], *, progress: Progress | None = None
    ) -> list[Likelihood]:
        """Score texts on the model: likelihoods bypass the guard."""
        return self.model.loglikelihood(questions, progress=progress)


def blocked_answer() -> Answer:
    """Return the answer to a prompt that the guard does not pass on."""
    return Answer(REPLY, tokens=0, finished=True, blocked=True)


def write_system(
    folder: Path, *, base: str, base_digest: str, strengths: dict[str, float], guard: bool
) -> None:
    """Write `system.json` of a run: the base model's name, the strengths, the digests of adapters and guard."""
    about: dict[str, Any] = {"base": base, "base_digest": base_digest, "strengths": strengths, "guard": guard}
    about["digests"] = part_digests(folder, [*strengths, *(["guard"] if guard else [])])
    write_json(folder / FILE, about)


def assemble(folder: Path, base: LocalModel | Model, without: Iterable[str] = ()) -> System:
    """Return the system of a run directory on its base model, without the named parts."""
    about = read_system(folder)
    left_out = _left_out(folder, about, without)
    if base.digest != about["base_digest"]:
        fix = "Use the base model that the run was made with."
        raise ModelError(Problem("system.base-changed", str(folder), "the base model has other weights", fix))
    strengths = {m: 0.0 if m in left_out else float(s) for m, s in about["strengths"].items()}
    used = [m for m, s in strengths.items() if s]
    with_guard = about["guard"] and "guard" not in left_out
    found = _check_parts(folder, about, [*used, *(["guard"] if with_guard else [])])
    if isinstance(base, LocalModel):
        base.set_adapters({adapter_folder(folder, m): strengths[m] for m in used})
    elif used:
        fix = "Use the base model on this machine, or leave the adapters out with --without."
        raise ModelError(Problem("system.no-adapters", str(folder), f"{base.name} takes no adapters", fix))
    guard = load_guard(folder / "guard") if with_guard else None
    return System(base, guard, strengths, {m: found[m] for m in used})


def with_adapters(base: LocalModel | Model, adapters: Mapping[Path, float]) -> System:
    """Return a base model with adapters of any origin (folder → strength), and no guard.

    Raises ModelError for a model that takes none, and for one that is damaged, pickled or another model's.
    """
    if not adapters:
        return System(base)
    if not isinstance(base, LocalModel):
        fix = "Use a model on this machine: embedded, hf/ORG/NAME or dir/PATH."
        raise ModelError(Problem("system.no-adapters", base.name, "takes no adapters", fix))
    base.set_adapters(adapters)
    short = {f: f.name if [g.name for g in adapters].count(f.name) == 1 else str(f) for f in adapters}
    digests = {short[f]: folder_digest(f, "adapter_*") for f in adapters}
    return System(base, None, {short[f]: s for f, s in adapters.items()}, digests)


def _left_out(folder: Path, about: Mapping[str, Any], without: Iterable[str]) -> set[str]:
    """Return the parts to leave out; raises ConfigError for what is not a part, or not one of this system."""
    left_out = set(without)
    if unknown := sorted(left_out - set(PARTS)):
        fix = f"Use one of {', '.join(PARTS)}."
        raise ConfigError(Problem("system.part", f"--without {unknown[0]}", "is not a part of a system", fix))
    if absent := sorted(left_out - {*about["strengths"], *(["guard"] if about["guard"] else [])}):
        fix = "Leave that --without away: the system is the same with and without it."
        raise ConfigError(
            Problem("system.part-absent", f"--without {absent[0]}", f"{folder} has no {absent[0]}", fix)
        )
    return left_out


def _check_parts(folder: Path, about: Mapping[str, Any], parts: Iterable[str]) -> dict[str, str]:
    """Return the digests of parts; raises ModelError for one that is not what the run made."""
    found = part_digests(folder, parts)
    if changed := [part for part in found if found[part] != about["digests"].get(part)]:
        what = f"{', '.join(changed)} is not what the run made, or an earlier version made it"
        fix = "Take the run or bundle again, or let `trimtab trim` write its system again."
        raise ModelError(Problem("system.part-changed", str(folder), what, fix))
    return found


def export_adapter(folder: Path, target: Path, without: Iterable[str] = ()) -> tuple[str, int]:
    """Write the adapters of a run or bundle, at their strengths, as one PEFT adapter; returns base model and rank.

    Raises ModelError when a part is not what the run made, and when no adapter is left.
    """
    about = read_system(folder)
    left_out = _left_out(folder, about, without)
    used = {m: s for m, s in about["strengths"].items() if s and m not in left_out}
    if not used:
        fix = "Set a strength with `trimtab trim RUN --set NAME=1`, or leave --without away."
        raise ModelError(Problem("system.no-adapter", str(folder), "no adapter has a strength", fix))
    _check_parts(folder, about, used)
    weighted = {adapter_folder(folder, m): float(s) for m, s in used.items()}
    return about["base"], write_sum(weighted, target)


def adapter_folder(run: Path, mechanism: str) -> Path:
    """Return where a run keeps the adapter of a mechanism (a standard PEFT folder)."""
    return run / "adapters" / f"trimtab_{mechanism}"


def part_digests(run: Path, parts: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of the files of each part of a run's system; a part without files has that of nothing."""
    return {
        part: guard_digest(run / "guard")
        if part == "guard"
        else folder_digest(adapter_folder(run, part), "adapter_*")
        for part in parts
    }


class _File(BaseModel):
    """What `system.json` holds."""

    model_config = ConfigDict(extra="forbid", strict=True)

    base: str
    base_digest: str
    strengths: dict[Literal["adversarial", "bias", "values"], FiniteFloat]
    guard: bool
    digests: dict[Literal["guard", "adversarial", "bias", "values"], str]


def read_system(folder: Path) -> dict[str, Any]:
    """Return `system.json` of a run; raises ModelError when the run has not come that far."""
    try:
        return _File.model_validate_json((folder / FILE).read_bytes()).model_dump()
    except FileNotFoundError as error:
        fix = "Let the run finish (`trimtab run` resumes it), or name another model."
        raise ModelError(Problem("system.missing", str(folder), f"there is no {FILE}", fix)) from error
    except ValidationError as error:
        why = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors())
    except OSError as error:
        why = str(error)
    fix = "Let the run write it again, or name another model."
    raise ModelError(Problem("system.damaged", str(folder / FILE), why, fix))
