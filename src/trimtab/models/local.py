"""A transformers model on this machine: a folder, a hub name, or the embedded weights.

Adapters are merged into the weights at given strengths (W + Σ strength·B·A, computed in float32), so that
a system with three adapters generates as fast as the bare model; changing strengths restores W first.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.errors import MissingPartError, ModelError, Problem
from trimtab.models.cache import folder_digest
from trimtab.models.protocol import Answer, Capabilities, Likelihood, Messages, Progress, Question

if TYPE_CHECKING:
    import torch

CONTEXT = 2048
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.joblib")
BATCH = 32
SCORE_TOKENS = 6144


def check_folder(folder: Path) -> None:
    """Refuse a model folder that cannot or must not be loaded, naming every problem at once."""
    name, problems = str(folder), []
    if not folder.is_dir():
        raise ModelError(Problem("model.missing", name, "no such folder", "Check the path."))
    pickles = sorted(p.name for pattern in PICKLES for p in folder.glob(pattern))
    if pickles and not list(folder.glob("*.safetensors")):
        fix = "Convert it to safetensors; pickles can run code and are never loaded."
        problems.append(Problem("model.pickle", name, f"pickled weights ({pickles[0]})", fix))
    elif not list(folder.glob("*.safetensors")):
        problems.append(Problem("model.no-weights", name, "no .safetensors file", "Save the weights there."))
    if not (folder / "config.json").exists():
        problems.append(Problem("model.no-config", name, "no config.json", "Save the configuration there."))
    if not any((folder / f).exists() for f in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        fix = "Save the tokenizer there: tokenizer.save_pretrained(folder)."
        problems.append(Problem("model.no-tokenizer", name, "no tokenizer", fix))
    if problems:
        raise ModelError(problems)


def quiet() -> None:
    """Silence the libraries' own bars and notices; ours name the stage."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import datasets
        import transformers
    except ImportError as error:
        raise MissingPartError(str(error.name), "local", "to run a model on this machine") from error
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()


def pick_device() -> tuple[str, torch.dtype]:
    """Return the device and the number format: a GPU in bf16; a CPU in bf16 only where it has the instructions."""
    import torch

    if torch.cuda.is_available():
        return "cuda", torch.bfloat16
    capabilities = torch.cpu.get_capabilities()
    fast = any(capabilities.get(k) for k in ("avx512_bf16", "amx_tile", "amx_bf16", "bf16", "arm_bf16"))
    return "cpu", torch.bfloat16 if fast else torch.float32


class LocalModel:
    """A causal language model with a chat template, held in this process."""

    def __init__(self, folder: Path, *, name: str) -> None:
        check_folder(folder)
        quiet()
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.folder, self.name = folder, name
        self.device, self.dtype = pick_device()
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", trust_remote_code=False)
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if not self.tokenizer.chat_template:
            self.tokenizer.chat_template = (
                "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
            )
        self.network: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=self.dtype, use_safetensors=True, trust_remote_code=False
        )
        self.network.to(self.device).eval()
        self.digest = folder_digest(folder, "*.safetensors")
        self.capabilities = Capabilities(loglikelihood=True, trainable=True)
        self.context = min(CONTEXT, int(getattr(self.network.config, "max_position_embeddings", CONTEXT)))
        self._originals: dict[str, torch.Tensor] = {}
        self.strengths: dict[str, float] = {}

    # ---- adapters

    def set_adapters(self, strengths: dict[Path, float]) -> None:
        """Merge adapters (folder → strength) into the weights, in place of those merged before."""
        import torch

        deltas = [(lora_deltas(folder), strength) for folder, strength in strengths.items() if strength]
        with torch.no_grad():
            for key, original in self._originals.items():
                self.network.get_parameter(key).copy_(original)
            for key in {key for delta, _ in deltas for key in delta}:
                weight = self.network.get_parameter(key)
                original = self._originals.setdefault(key, weight.detach().clone())
                total = sum(s * delta[key]().to(weight.device) for delta, s in deltas if key in delta)
                weight.copy_(original.float() + total)
        self.strengths = {str(folder): s for folder, s in strengths.items()}

    # ---- generation

    def generate(
        self,
        prompts: Sequence[Messages],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> list[Answer]:
        """Answer each conversation; greedy at temperature 0. Batches are sorted by length and seeded by number."""
        tokens = [self._prompt_tokens(m, self.context - max_tokens) for m in prompts]
        answers: list[Answer | None] = [None] * len(prompts)
        for number, batch in enumerate(_by_length(tokens, lambda _: 1, BATCH)):
            made = self._generate_batch([tokens[i] for i in batch], max_tokens, temperature, seed + number)
            for i, answer in zip(batch, made, strict=True):
                answers[i] = answer
            if progress:
                progress(len(batch))
        return [a for a in answers if a is not None]

    def _generate_batch(
        self, batch: list[list[int]], max_tokens: int, temperature: float, seed: int
    ) -> list[Answer]:
        import torch

        torch.manual_seed(seed)
        inputs, mask = self._padded(batch)
        sampling = {"do_sample": True, "temperature": temperature, "top_p": 0.95, "top_k": 0}
        with torch.inference_mode():
            out = self.network.generate(
                input_ids=inputs,
                attention_mask=mask,
                max_new_tokens=max_tokens,
                pad_token_id=self.tokenizer.pad_token_id,
                **(sampling if temperature > 0 else {"do_sample": False}),
            )
        return [self._answer(row) for row in out[:, inputs.shape[1] :].tolist()]

    def _answer(self, row: list[int]) -> Answer:
        ends = self.network.generation_config.eos_token_id
        stops = {self.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
        end = next((i for i, token in enumerate(row) if token in stops), None)
        kept = row if end is None else row[:end]
        text = self.tokenizer.decode(kept, skip_special_tokens=True).strip()
        return Answer(text=text, tokens=len(kept), finished=end is not None)

    # ---- scoring

    def loglikelihood(
        self, questions: Sequence[Question], *, progress: Progress | None = None
    ) -> list[Likelihood]:
        """Score each text under the model (nats); see `Likelihood`."""
        encoded = [self._encode(q) for q in questions]
        results: list[Likelihood | None] = [None] * len(questions)
        rows = [prompt + text for prompt, text, _ in encoded]
        for batch in _by_length(rows, len, SCORE_TOKENS):
            totals = self._score([rows[i] for i in batch], [len(encoded[i][1]) for i in batch])
            for i, total in zip(batch, totals, strict=True):
                results[i] = Likelihood(total, len(encoded[i][1]), encoded[i][2])
            if progress:
                progress(len(batch))
        return [r for r in results if r is not None]

    def _encode(self, question: Question) -> tuple[list[int], list[int], bool]:
        text = self.tokenizer(question.text, add_special_tokens=False)["input_ids"]
        cut = text[: self.context - 8]
        if question.messages:
            prompt = self._prompt_tokens(question.messages, self.context - len(cut))
        else:
            prompt = [self.start_token]
        return prompt, cut, len(cut) < len(text)

    def _score(self, rows: list[list[int]], lengths: list[int]) -> list[float]:
        import torch

        inputs, mask = self._padded(rows)
        keep = max(lengths) + 1
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        with torch.inference_mode():
            logits = self.network(
                input_ids=inputs,
                attention_mask=mask,
                position_ids=positions,
                logits_to_keep=keep,
                use_cache=False,
            ).logits[:, -keep:-1]
            targets = inputs[:, -(keep - 1) :]
            totals = []
            for row, target, length in zip(logits, targets, lengths, strict=True):
                if not length:
                    totals.append(0.0)
                    continue
                scores = row[-length:].float()
                picked = scores.gather(-1, target[-length:, None])[:, 0] - scores.logsumexp(-1)
                totals.append(float(picked.sum()))
        return totals

    # ---- tokens

    @property
    def start_token(self) -> int:
        """What a text without a prompt starts after."""
        start = self.tokenizer.bos_token_id
        return int(self.tokenizer.eos_token_id if start is None else start)

    def _prompt_tokens(self, messages: Messages, limit: int) -> list[int]:
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        tokens: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return tokens if len(tokens) <= limit else tokens[-max(1, limit) :]

    def _padded(self, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        width = max(len(r) for r in rows)
        pad = self.tokenizer.pad_token_id
        inputs = torch.tensor([[pad] * (width - len(r)) + r for r in rows], device=self.device)
        mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows], device=self.device)
        return inputs, mask


def lora_deltas(folder: Path) -> dict[str, Callable[[], torch.Tensor]]:
    """Return weight name → a function that computes scaling·B·A in float32, from a PEFT LoRA folder."""
    import json

    from safetensors.torch import load_file

    config = json.loads((folder / "adapter_config.json").read_text())
    rank = config["r"]
    scaling = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
    tensors = load_file(folder / "adapter_model.safetensors")
    deltas: dict[str, Callable[[], torch.Tensor]] = {}
    for key, a in tensors.items():
        if key.endswith(".lora_A.weight"):
            name = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight") + ".weight"
            b = tensors[key.replace(".lora_A.", ".lora_B.")]
            deltas[name] = lambda a=a, b=b: scaling * (b.float() @ a.float())  # type: ignore[misc]
    return deltas


def _by_length(
    rows: Sequence[Sequence[int]], cost: Callable[[Sequence[int]], int], limit: int
) -> Iterator[list[int]]:
    """Group indices, longest first, so that the padded size of a group stays within `limit`."""
    order = sorted(range(len(rows)), key=lambda i: (-len(rows[i]), i))
    group: list[int] = []
    for i in order:
        if group and (len(group) + 1) * max(1, cost(rows[group[0]])) > limit:
            yield group
            group = []
        group.append(i)
    if group:
        yield group
