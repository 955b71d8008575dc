"""Model names: `embedded`, `hf/ORG/NAME[@REV]`, `dir/PATH`, `openai/NAME`, or the path of a run (its system)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.errors import ConfigError, ModelError, Problem
from trimtab.models.protocol import Model

if TYPE_CHECKING:
    from trimtab.models.system import System

NAMES = "embedded, hf/ORG/NAME[@REV], dir/PATH, openai/NAME, or the path of a run"


@dataclass(frozen=True)
class EndpointLimits:
    """Caps on what an endpoint may cost."""

    max_requests: int | None = None
    max_cost_usd: float | None = None
    prices: tuple[float, float] = (0.0, 0.0)
    concurrency: int = 8


def load_model(name: str, limits: EndpointLimits | None = None) -> Model:
    """Load a base model by name; raises ConfigError for a name of another form, ModelError when it cannot be had."""
    if name == "embedded":
        from trimtab.models.embedded import embedded_folder

        return _local(embedded_folder(), name)
    if name.startswith("hf/"):
        return _hub(name)
    if name.startswith("dir/"):
        return _local(Path(name.removeprefix("dir/")), name)
    if name.startswith("openai/"):
        return _endpoint(name, limits or EndpointLimits())
    raise _no_base(name)


def check_model(name: str, limits: EndpointLimits | None = None) -> None:
    """Raise what `load_model` would raise for a name, a folder, an address or caps; nothing is loaded, fetched or asked.

    Whether the hub or an endpoint has the model stays open.
    """
    if name == "embedded":
        from trimtab.models.embedded import check_embedded

        check_embedded()
    elif name.startswith("dir/"):
        from trimtab.models.folder import check_folder

        check_folder(Path(name.removeprefix("dir/")))
    elif name.startswith("openai/"):
        from trimtab.models._settings import Settings, address, check_settings

        c = limits or EndpointLimits()
        settings = Settings(*address(), c.concurrency, c.max_requests, c.max_cost_usd, c.prices)
        check_settings(name.removeprefix("openai/"), settings)
    elif not name.startswith("hf/"):
        raise _no_base(name)


def _no_base(name: str) -> ConfigError:
    place = f"model {name!r:.80}"
    if is_run(name):
        fix = "Name the base model: embedded, hf/ORG/NAME[@REV], dir/PATH or openai/NAME."
        return ConfigError(Problem("model.is-folder", place, "is a folder; a base model is wanted here", fix))
    return ConfigError(Problem("model.name", place, "is not a known model name", f"Use {NAMES}."))


def load_system(
    name: str, *, without: Iterable[str] = (), limits: EndpointLimits | None = None, adapters: Sequence[str] = ()
) -> System:  # fmt: skip
    """Load the system of a run directory without the named parts, or a base model with adapters (FOLDER or FOLDER=STRENGTH)."""
    from trimtab.models.system import assemble, read_system, with_adapters

    weighted = dict(map(_adapter, adapters))
    if is_run(name):
        if weighted:
            fix = "Name its base model with --model, or leave --adapter away."
            raise ConfigError(Problem("system.adapter", "--adapter", f"{name} has adapters of its own", fix))
        folder = Path(name)
        return assemble(folder, load_model(read_system(folder)["base"], limits), without)
    if list(without):
        fix = "Name a run directory with --model, or leave --without away."
        raise ConfigError(Problem("system.part", "--without", f"{name} is a bare model", fix))
    return with_adapters(load_model(name, limits), weighted)


def _adapter(text: str) -> tuple[Path, float]:
    """Return folder and strength, 1 where none is given; raises ConfigError for what is neither."""
    name, equals, number = text.rpartition("=")
    folder, number = (name, number) if equals and not Path(text).is_dir() else (text, "1")
    try:
        strength = float(number)
    except ValueError:
        strength = math.nan
    if not math.isfinite(strength) or strength < 0:
        fix = "Write FOLDER=STRENGTH with a number of at least 0, such as adapters/bias=0.5."
        raise ConfigError(Problem("system.adapter", f"--adapter {text}", "has no such strength", fix))
    if not Path(folder).is_dir():
        fix = "Name the folder that `trimtab train` wrote, or another PEFT adapter."
        raise ConfigError(Problem("system.adapter", f"--adapter {text}", "no such folder", fix))
    return Path(folder), strength


def is_run(name: str) -> bool:
    """Return whether a model name is the path of a run."""
    prefixed = name.startswith(("hf/", "dir/", "openai/")) or name == "embedded"
    return bool(name) and not prefixed and Path(name).is_dir()


def _local(folder: Path, name: str) -> Model:
    from trimtab.models.local import LocalModel

    return LocalModel(folder, name=name)


def _hub(name: str) -> Model:
    from trimtab.models.local import quiet

    quiet()
    from huggingface_hub import snapshot_download

    repo, _, revision = name.removeprefix("hf/").partition("@")
    try:
        folder = snapshot_download(
            repo,
            revision=revision or None,
            allow_patterns=["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"],
        )
    except Exception as error:  # the hub's own, its transport's (whose library changes) and the disk's
        fix = "Check the name and the network, or download it and use dir/PATH."
        raise ModelError(
            Problem("model.hub", name, f"cannot be fetched ({str(error)[:200]})", fix)
        ) from error
    # The folder's name is the commit that the revision resolved to.
    return _local(Path(folder), f"hf/{repo}@{Path(folder).name}")


def _endpoint(name: str, limits: EndpointLimits) -> Model:
    from trimtab.models.endpoint import EndpointModel

    return EndpointModel(
        name.removeprefix("openai/"),
        concurrency=limits.concurrency,
        max_requests=limits.max_requests,
        max_cost_usd=limits.max_cost_usd,
        usd_per_million_input=limits.prices[0],
        usd_per_million_output=limits.prices[1],
    )
