"""A model asked through the engine: in checkpointed batches, which a cluster spreads over its nodes.

Batches are those that the model itself would cut, so that the answers are the same with and without it. Which
rows are in a batch and its seed follow from the call and the batch's number alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trimtab import engine
from trimtab.engine import Row
from trimtab.errors import ModelError, Problem
from trimtab.models.cache import folder_digest
from trimtab.models.endpoint import EndpointModel
from trimtab.models.local import LocalModel
from trimtab.models.protocol import Answer, Capabilities, Likelihood, Messages, Model, Progress, Question

BATCH = 32  # rows, where the model has no batches of its own

_opened: LocalModel | None = None  # of a worker, from one batch to the next


class Batched:
    """A model like the one it holds; a batch that was finished in `folder` is not asked again.

    A folder is for one call: another call, another model or other settings replace what is there. With one, the cap of
    an endpoint ends the call (ModelError), so that what it left is asked when the cap is raised; without, it is rows
    with an error.
    """

    def __init__(self, model: Model, folder: Path | None = None) -> None:
        self.model, self.folder = model, folder

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def digest(self) -> str:
        """The model's digest."""
        return self.model.digest

    @property
    def capabilities(self) -> Capabilities:
        """Those of the model."""
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
        """Answer each conversation, in order; a batch's sampling seed is `seed` and its number."""
        settings = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
        cut = _in_order(prompts)
        if isinstance(self.model, LocalModel):
            cut = self.model.generation_batches(prompts, max_tokens)
        rows = self._map(generate, [{"messages": p} for p in prompts], cut, settings, progress)
        return [Answer(**r) for r in rows]

    def loglikelihood(
        self, questions: Sequence[Question], *, progress: Progress | None = None
    ) -> list[Likelihood]:
        """Score each text, in order."""
        cut = _in_order(questions)
        if isinstance(self.model, LocalModel):
            cut = self.model.scoring_batches(questions)
        rows = self._map(score, [asdict(q) for q in questions], cut, {}, progress)
        return [Likelihood(**r) for r in rows]

    def _map(
        self,
        call: Callable[..., list[Row]],
        rows: list[Row],
        cut: list[list[int]],
        settings: Row,
        progress: Progress | None,
    ) -> list[Row]:
        """Return `call` of the rows, batch by batch, in the order of the rows."""
        model, adapters = self.model, _adapters(self.model)
        source: Model | Recipe = model
        # An endpoint's own server spreads the work, and its caps are counted in one place: it is asked from here.
        spread = isinstance(model, LocalModel) and engine.spreads()
        if spread and isinstance(model, LocalModel):
            source = Recipe(model.name, model.folder.resolve(), model.digest, adapters)
        work = partial(call, source, settings)
        if self.folder is not None and isinstance(model, EndpointModel):
            work = partial(_answered, model, work)
        found = engine.map_batches(
            [[rows[i] for i in batch] for batch in cut],
            work,
            folder=self.folder,
            key={
                "call": call.__name__,
                "model": model.digest,
                "adapters": [(a.digest, a.strength) for a in adapters],
                **settings,
            },
            spread=spread,
            progress=progress,
        )
        places = [i for batch in cut for i in batch]
        return [row for _, row in sorted(zip(places, found, strict=True), key=lambda pair: pair[0])]


@dataclass(frozen=True)
class Adapter:
    """An adapter in the weights."""

    folder: Path
    digest: str
    strength: float


@dataclass(frozen=True)
class Recipe:
    """What a worker needs to have the same model: where it is from, and the adapters in its weights."""

    name: str
    folder: Path
    digest: str
    adapters: tuple[Adapter, ...]

    def open(self) -> LocalModel:
        """Return the model, loaded once in a process; raises ModelError when this machine has another or none."""
        global _opened  # noqa: PLW0603  one model fits into a worker
        if _opened is None or _opened.digest != self.digest:
            _opened = None
            _opened = self._load()
        for adapter in self.adapters:
            if not adapter.folder.is_dir() or _adapter_digest(adapter.folder) != adapter.digest:
                fix = "Keep the run directory in a folder that all nodes of the cluster share."
                what = "a worker finds no adapter or another one there"
                raise ModelError(Problem("cluster.adapter", str(adapter.folder), what, fix))
        if _adapters(_opened) != self.adapters:
            _opened.set_adapters({a.folder: a.strength for a in self.adapters})
        return _opened

    def _load(self) -> LocalModel:
        from trimtab.models.load import load_model

        # A node that does not share the folder has the embedded weights itself, or fetches them from the hub.
        shared = self.folder.is_dir()
        model = LocalModel(self.folder, name=self.name) if shared else load_model(self.name)
        if not isinstance(model, LocalModel) or model.digest != self.digest:
            fix = "Install the same packages on all nodes, or keep the model in a folder that they share."
            raise ModelError(Problem("cluster.model", self.name, "a worker has other weights", fix))
        return model


def _answered(model: EndpointModel, work: engine.Work, number: int, rows: list[Row]) -> list[Row]:
    """Return what `work` makes of a batch; raises ModelError when the cap or a failing server left it without answers.

    A row without an answer is an error of that row. Where most rows have none, it is the server's, and passes.
    """
    results = work(number, rows)
    again = "start the same command again: finished batches are not asked again."
    if model.stopped:
        raise ModelError(Problem("endpoint.cap", model.name, model.stopped, f"Raise the cap and {again}"))
    errors = [e for e in (r.get("error") for r in results) if e]
    if len(rows) > 1 and 2 * len(errors) > len(rows):
        what = f"{len(errors)} of {len(rows)} requests got no answer, the first: {errors[0]}"
        raise ModelError(Problem("endpoint.failing", model.name, what, f"See to the server and {again}"))
    return results


def generate(source: Model | Recipe, settings: Row, number: int, rows: list[Row]) -> list[Row]:
    """Answer one batch."""
    model = source.open() if isinstance(source, Recipe) else source
    seed = settings["seed"] + number
    return [asdict(a) for a in model.generate([r["messages"] for r in rows], **{**settings, "seed": seed})]


def score(source: Model | Recipe, settings: Row, number: int, rows: list[Row]) -> list[Row]:
    """Score one batch."""
    model = source.open() if isinstance(source, Recipe) else source
    return [asdict(s) for s in model.loglikelihood([Question(**r) for r in rows])]


def _in_order(rows: Sequence[Any]) -> list[list[int]]:
    return [list(range(start, min(start + BATCH, len(rows)))) for start in range(0, len(rows), BATCH)]


def _adapters(model: Model) -> tuple[Adapter, ...]:
    strengths = model.strengths if isinstance(model, LocalModel) else {}
    folders = [(Path(folder).resolve(), strength) for folder, strength in strengths.items() if strength]
    return tuple(Adapter(folder, _adapter_digest(folder), strength) for folder, strength in folders)


def _adapter_digest(folder: Path) -> str:
    return folder_digest(folder, "adapter_*")
