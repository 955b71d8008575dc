"""A transformers model on this machine: a folder, a hub name, or the embedded weights.

Adapters stay beside the weights, at given strengths: changing them takes milliseconds and leaves the weights as
they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from trimtab.errors import ConfigError, MissingPartError, ModelError, Problem
from trimtab.models.folder import check_folder, model_digest
from trimtab.models.forks import Branch, Fork, forks, laid
from trimtab.models.lora import attach, check_fit, linear_shapes, read_lora, trained_layers
from trimtab.models.lower_half import LowerHalf
from trimtab.models.memory import keep_freed_memory
from trimtab.models.prefill import (
    Filled,
    begun,
    by_length,
    caches_plainly,
    padded,
    prefill,
    read_alike,
    shared,
    tokens_at_once,
)
from trimtab.models.protocol import Answer, Capabilities, Likelihood, Messages, Progress, Question, user
from trimtab.models.sampling import sampler

if TYPE_CHECKING:
    import torch

CONTEXT = 2048
BATCH = 48  # answers that are written at once: more read the weights less often, and pad more


# What a tokenizer and a chat template (jinja) raise for a conversation or a text that they do not take.
_UNREADABLE = (TypeError, ValueError, TemplateError)


@dataclass(frozen=True)
class _Asked:
    """A prompt's tokens, whether it was cut to the context, and why it cannot be asked at all."""

    tokens: list[int]
    truncated: bool = False
    error: str | None = None

    def of(self, answer: Answer) -> Answer:
        """Return the answer as one to this prompt."""
        if self.error:
            return Answer("", 0, finished=False, error=self.error)
        return replace(answer, truncated=self.truncated)


def quiet() -> None:
    """Silence the libraries' own bars and notices; ours name the stage. Memory that is freed is kept from here on."""
    keep_freed_memory()
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import datasets
        import torch  # noqa: F401  asked for here, or transformers says so in a warning of its own
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


@contextmanager
def _loading(folder: Path) -> Iterator[None]:
    """Turn whatever the libraries raise over a damaged or foreign folder into one clear error."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # they raise KeyError, TypeError and others for damaged files
        what = " ".join(f"cannot be loaded ({type(error).__name__}: {error!s:.300})".split())
        if "trust_remote_code" in str(error):
            fix = "Use a model that transformers knows; code that comes with a model is never run."
            raise ModelError(
                Problem("model.remote-code", str(folder), "needs code of its own", fix)
            ) from error
        fix = "Take its files again, or name another model."
        raise ModelError(Problem("model.damaged", str(folder), what, fix)) from error


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", trust_remote_code=False)
    if tokenizer.eos_token is None:
        fix = "Name the token that ends an answer in tokenizer_config.json."
        raise ModelError(Problem("model.no-end", str(folder), "the tokenizer has no eos_token", fix))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.chat_template = tokenizer.chat_template or FALLBACK_TEMPLATE
    try:
        tokenizer.apply_chat_template(user("Hello"), tokenize=False, add_generation_prompt=True)
    except TemplateError as error:
        fix = "Correct chat_template.jinja."
        what = f"the chat template does not take a single question ({error})"
        raise ModelError(Problem("model.template", str(folder), what, fix)) from error
    return tokenizer


def _network(folder: Path, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM

    network, loaded = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    # transformers fills what is missing with random numbers, and goes on
    if missing := sorted(loaded["missing_keys"]):
        what = f"{len(missing)} weights of its configuration are missing ({missing[0]})"
        raise ModelError(Problem("model.no-weights", str(folder), what, "Take its files again."))
    return network


def _check_pair(folder: Path, tokenizer: Any, network: Any) -> None:
    known = network.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > known:
        what = f"the tokenizer has {len(tokenizer)} tokens, the weights are for {known}"
        fix = "Take both from the same model."
        raise ModelError(Problem("model.other-tokenizer", str(folder), what, fix))


FALLBACK_TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"


class LocalModel:
    """A causal language model with a chat template, held in this process.

    `digest` is that of the bare model: weights, configuration, tokenizer and template. A tokenizer without a
    chat template gets a plain one (`ROLE: TEXT` lines). Raises ModelError for a folder that cannot be used.
    """

    def __init__(self, folder: Path, *, name: str) -> None:
        check_folder(folder)
        quiet()
        self.folder, self.name = folder, name
        self.device, self.dtype = pick_device()
        with _loading(folder):
            self.tokenizer: Any = _tokenizer(folder)
        with _loading(folder):
            self.network: Any = _network(folder, self.dtype)
            self.network.to(self.device).eval()
            self.digest = model_digest(folder)
        _check_pair(folder, self.tokenizer, self.network)
        self.capabilities = Capabilities(loglikelihood=True, trainable=bool(trained_layers(self.network)))
        self.context = min(CONTEXT, int(getattr(self.network.config, "max_position_embeddings", CONTEXT)))
        self._plain, self._at_once = caches_plainly(self.network), tokens_at_once(self.device)
        self._hooks: list[Any] = []
        self._lower = LowerHalf(self.network)
        self._begun: tuple[Sequence[int], Filled] = ((), [])
        self.strengths: dict[str, float] = {}

    # ---- adapters

    def set_adapters(self, strengths: Mapping[Path, float]) -> None:
        """Put adapters (folder → strength) on the linear layers, in place of those that were there.

        Raises ModelError for an adapter that is damaged, pickled or another model's: then nothing is changed.
        """
        shapes = linear_shapes(self.network)
        weighted = []
        for folder, strength in sorted(strengths.items()):  # the order of a sum changes its last digits
            if strength:
                weighted.append((read_lora(folder), strength))
                check_fit(folder, weighted[-1][0], shapes)
        for hook in self._hooks:
            hook.remove()
        self._hooks = attach(self.network, weighted)
        self._begun = ((), [])
        self._lower.set_adapted({name for deltas, _ in weighted for name in deltas})
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
        """Answer each conversation; greedy at temperature 0. Batches are sorted by length and seeded by number.

        A prompt that the template or the tokenizer refuses is an answer with `error`; of one that is longer than
        the context the beginning is cut off, and its answer is `truncated`.
        """
        asked = self._asked(prompts, max_tokens)
        tokens = [a.tokens for a in asked]
        answers: list[Answer | None] = [None] * len(prompts)
        for number, batch in enumerate(by_length(tokens, lambda _: 1, BATCH)):
            made = self._generate_batch([tokens[i] for i in batch], max_tokens, temperature, seed + number)
            for i, answer in zip(batch, made, strict=True):
                answers[i] = asked[i].of(answer)
            if progress:
                progress(len(batch))
        return [a for a in answers if a is not None]

    def generation_batches(self, prompts: Sequence[Messages], max_tokens: int) -> list[list[int]]:
        """Return the indices of the prompts in each batch that `generate` makes of them, in its order."""
        tokens = [a.tokens for a in self._asked(prompts, max_tokens)]
        return list(by_length(tokens, lambda _: 1, BATCH))

    def _asked(self, prompts: Sequence[Messages], max_tokens: int) -> list[_Asked]:
        if (room := self.context - max_tokens) < 1:
            what = f"max_tokens is {max_tokens}, and the model's context is {self.context} tokens"
            raise ConfigError(Problem("model.max-tokens", self.name, what, "Ask for fewer tokens."))
        return [self._ask(messages, room) for messages in prompts]

    def _ask(self, messages: Messages, room: int) -> _Asked:
        try:
            return _Asked(*self._prompt_tokens(messages, room))
        except _UNREADABLE as error:
            # The row keeps its place in its batch, so that the other rows' answers do not depend on it.
            return _Asked(
                [self.start_token], error=f"the prompt cannot be given to the model ({error!s:.200})"
            )

    def _generate_batch(
        self, batch: list[list[int]], max_tokens: int, temperature: float, seed: int
    ) -> list[Answer]:
        import torch

        torch.manual_seed(seed)
        inputs, mask = padded(batch, self.tokenizer.pad_token_id, self.device)
        draw = sampler(temperature) if temperature > 0 else None
        with torch.inference_mode():
            cache = (
                prefill(self.network, batch, max_tokens, self.tokenizer.pad_token_id) if self._plain else None
            )
            out = self.network.generate(
                input_ids=inputs,
                attention_mask=mask,
                max_new_tokens=max_tokens,
                pad_token_id=self.tokenizer.pad_token_id,
                **({"past_key_values": cache} if cache else {}),
                do_sample=False,  # the token is drawn before it is taken
                logits_processor=[draw] if draw else [],
            )
        columns = torch.stack(draw.entropies, dim=1).tolist() if draw else [[]] * len(batch)
        rows = out[:, inputs.shape[1] :].tolist()
        return [self._answer(row, column) for row, column in zip(rows, columns, strict=True)]

    def _answer(self, row: list[int], entropies: list[float]) -> Answer:
        ends = self.network.generation_config.eos_token_id
        stops = {self.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
        end = next((i for i, token in enumerate(row) if token in stops), None)
        kept = row if end is None else row[:end]
        text = self.tokenizer.decode(kept, skip_special_tokens=True).strip()
        entropies = entropies[: len(kept) + 1]  # and of the token that ended it
        entropy = sum(entropies) / len(entropies) if entropies else None
        return Answer(text=text, tokens=len(kept), finished=end is not None, entropy=entropy)

    # ---- scoring

    def loglikelihood(
        self, questions: Sequence[Question], *, progress: Progress | None = None
    ) -> list[Likelihood]:
        """Score each text under the model (nats); see `Likelihood`.

        Raises ModelError (`model.not-text`) that names every text which the template or the tokenizer refuses.
        """
        encoded = self._encoded(questions)
        totals = [0.0] * len(questions)
        for batch in self._scoring_batches(encoded):
            for place, total in self._score(batch):
                totals[place] = total
            if progress:
                progress(sum(len(f.places) for f in batch))
        if progress and (empty := sum(not text for _, text, _ in encoded)):
            progress(empty)
        return [Likelihood(t, len(text), cut) for t, (_, text, cut) in zip(totals, encoded, strict=True)]

    def scoring_batches(self, questions: Sequence[Question]) -> list[list[int]]:
        """Return the indices of the questions in each batch that `loglikelihood` makes of them, in its order."""
        encoded = self._encoded(questions)
        batches = [[place for f in batch for place in f.places] for batch in self._scoring_batches(encoded)]
        empty = [i for i, (_, text, _) in enumerate(encoded) if not text]
        return [*batches, empty] if empty else batches

    def _scoring_batches(self, encoded: Sequence[tuple[list[int], list[int], bool]]) -> list[list[Fork]]:
        texts = [(prompt, text) for prompt, text, _ in encoded]
        rows = forks(texts, most=min(self.context, self._at_once), together=self._plain)
        return [[rows[i] for i in batch] for batch in by_length(rows, len, self._at_once)]

    def _encoded(self, questions: Sequence[Question]) -> list[tuple[list[int], list[int], bool]]:
        encoded, problems = [], []
        for i, question in enumerate(questions):
            try:
                encoded.append(self._encode(question))
            except _UNREADABLE as error:
                what = f"cannot be given to the model ({error!s:.200})"
                problems.append(Problem("model.not-text", f"text {i}", what, "Leave it out or correct it."))
        if problems:
            raise ModelError(problems)
        return encoded

    def _encode(self, question: Question) -> tuple[list[int], list[int], bool]:
        """Return the tokens before the text, those of the text, and whether anything was cut to the context."""
        text = self.tokenizer(question.text, add_special_tokens=False)["input_ids"]
        kept = text[: self.context - 8]
        prompt, cut = [self.start_token], False
        if question.messages:
            prompt, cut = self._prompt_tokens(question.messages, self.context - len(kept))
        return prompt, kept, cut or len(kept) < len(text)

    def _score(self, batch: Sequence[Fork]) -> list[tuple[int, float]]:
        """Return the place and the log-likelihood of each text of a batch."""
        import torch

        # What all prompts begin with alike is read once; the last token of each says what may follow it.
        prompts = [f.prompt for f in batch]
        k = shared(prompts, min(map(len, prompts)) - 1) if self._plain else 0
        rows = laid(batch, self.tokenizer.pad_token_id, self.network.get_input_embeddings().weight, k)
        keep = max(f.after for f in batch) + 1
        skipped = rows.tokens.shape[1] - keep
        found = []
        read = (k, *((tuple(f.prompt), *(tuple(b.tokens) for b in f.branches)) for f in batch))
        with torch.inference_mode():
            cache = begun(self._alike(prompts[0][:k]), len(batch)) if k else None
            with self._lower.reading(read):
                logits = self.network(
                    input_ids=rows.tokens,
                    attention_mask=rows.mask,
                    position_ids=rows.positions,
                    past_key_values=cache,
                    logits_to_keep=keep,
                    use_cache=cache is not None,
                ).logits[:, -keep:]
            for row, fork, reads in zip(logits, batch, rows.reads, strict=True):
                for branch, columns in zip(fork.branches, reads, strict=True):
                    scores = row[[c - skipped for c in columns]].float()
                    found += _totals(scores, branch)
        return found

    def _alike(self, tokens: Sequence[int]) -> Filled:
        """Return what the layers keep of tokens that rows begin with; batch after batch begins as the one before."""
        if self._begun[0] != tokens:
            self._begun = (tokens, read_alike(self.network, tokens))
        return self._begun[1]

    # ---- tokens

    @property
    def start_token(self) -> int:
        """What a text without a prompt starts after."""
        start = self.tokenizer.bos_token_id
        return int(self.tokenizer.eos_token_id if start is None else start)

    def _prompt_tokens(self, messages: Messages, limit: int) -> tuple[list[int], bool]:
        """Return the last `limit` tokens of a conversation in the chat template, and whether that cut it."""
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        tokens: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return tokens[-limit:] or [self.start_token], len(tokens) > limit


def _totals(scores: torch.Tensor, branch: Branch) -> list[tuple[int, float]]:
    """Return the place and the log-likelihood of each text of a branch; the scores are of shape (tokens, vocabulary)."""
    norm = scores.logsumexp(-1)
    before = float((scores[range(len(branch.tokens)), branch.tokens] - norm[:-1]).sum())
    return [(place, before + float(scores[-1, last] - norm[-1])) for last, place in branch.ends]
