"""A model's folder: what is refused before anything of it is loaded, and the digest of what decides its answers."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trimtab.errors import ModelError, Problem
from trimtab.models.cache import file_digest

PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.joblib")
INDEX = "model.safetensors.index.json"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")
# What decides the answers; a README or another format of the same weights does not.
IDENTITY = (
    "*.safetensors",
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "chat_template*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)


def check_folder(folder: Path) -> None:
    """Refuse a model folder that cannot or must not be loaded; raises ModelError with every problem at once."""
    if not folder.is_dir():
        raise ModelError(Problem("model.missing", str(folder), "no such folder", "Check the path."))
    problems = [*_weights(folder), *_config(folder)]
    if not any((folder / f).exists() for f in TOKENIZERS):
        fix = "Save the tokenizer there: tokenizer.save_pretrained(folder)."
        problems.append(Problem("model.no-tokenizer", str(folder), "no tokenizer", fix))
    if problems:
        raise ModelError(problems)


def _weights(folder: Path) -> Iterator[Problem]:
    name = str(folder)
    pickles = sorted(p.name for pattern in PICKLES for p in folder.glob(pattern))
    if (folder / "adapter_config.json").exists():
        # transformers would apply it, from a pickle too, and from a base model that it names on the hub
        fix = "Name the base model, or merge the adapter into it and save that."
        yield Problem("model.adapter", name, "has an adapter in it (adapter_config.json)", fix)
    elif (folder / INDEX).exists():
        yield from _shards(folder / INDEX)
    elif (folder / "model.safetensors").exists():
        return
    elif pickles:
        fix = "Convert it to safetensors; pickles can run code and are never loaded."
        yield Problem("model.pickle", name, f"pickled weights ({pickles[0]})", fix)
    else:
        fix = "Save the weights there: model.save_pretrained(folder)."
        yield Problem("model.no-weights", name, "no model.safetensors and no index of its parts", fix)


def _shards(index: Path) -> Iterator[Problem]:
    """Yield what is wrong with the files that an index names: a pickle would be loaded, and files elsewhere have no digest here."""
    try:
        named = {str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        yield Problem("model.damaged", str(index), f"cannot be read ({error})", "Take the file again.")
        return
    for name in sorted(named):
        if not name.endswith(".safetensors"):
            fix = "Convert it to safetensors; pickles can run code and are never loaded."
            yield Problem("model.pickle", str(index), f"names weights that are no safetensors ({name})", fix)
        elif Path(name).name != name:
            fix = "Put all weights into the model's folder."
            yield Problem("model.elsewhere", str(index), f"names weights in another folder ({name})", fix)


def weights_in(folder: Path) -> int | None:
    """Return how many numbers the safetensors files of a folder hold; None where one has no readable header."""
    try:
        return sum(_numbers(path) for path in folder.glob("*.safetensors"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, MemoryError, RecursionError):
        return None


def _numbers(path: Path) -> int:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")  # of the header, which is JSON: the format's definition
        if size > path.stat().st_size:
            raise ValueError(size)
        header = json.loads(file.read(size))
    return sum(int(math.prod(tensor["shape"])) for name, tensor in header.items() if name != "__metadata__")


def _config(folder: Path) -> Iterator[Problem]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        fix = "Save the configuration there: model.save_pretrained(folder)."
        yield Problem("model.no-config", str(folder), "no config.json", fix)
        return
    except (OSError, ValueError, RecursionError) as error:
        yield Problem("model.damaged", str(path), f"cannot be read ({error})", "Take the file again.")
        return
    if not isinstance(config, dict):
        yield Problem("model.damaged", str(path), "is not a JSON object", "Take the file again.")
        return
    # An implementation with a slash is the name of a repository whose compiled code would be fetched and run.
    for named in sorted({i for i in _implementations(config) if "/" in i}):
        fix = "Remove the key; code that comes with a model is never run."
        yield Problem("model.remote-code", str(path), f"names code on the hub ({named})", fix)


def _implementations(value: Any, inside: bool = False) -> Iterator[str]:
    """Yield every text under a key such as `attn_implementation`, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _implementations(inner, inside or key.endswith("_implementation"))
    elif inside and isinstance(value, str):
        yield value


def model_digest(folder: Path) -> str:
    """Return the SHA-256 over weights, configuration, tokenizer and chat template: names and SHA-256 of each.

    Of JSON settings the content counts without the version that wrote them: saved again, a model stays itself.
    """
    files = sorted({p for pattern in IDENTITY for p in folder.glob(pattern) if p.is_file()})
    lines = [f"{_content_digest(p)}  {p.name}" for p in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _content_digest(path: Path) -> str:
    if path.name not in ("config.json", "generation_config.json"):
        return file_digest(path)
    content = json.loads(path.read_bytes())
    if isinstance(content, dict):
        content.pop("transformers_version", None)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
