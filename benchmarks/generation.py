"""Tokens that a model reads, writes and scores in a second, beside transformers' own `generate` and a plain pass.

    python benchmarks/generation.py [--model embedded] [--prompts 96] [--tokens 40]

Both sides hold the same weights in the same number format, ask the same prompts of the built-in suites greedily, in batches of
like length (transformers: 32, as `pipeline(batch_size=32)` would, but sorted), and score the same replies. Both write
sampled answers too (temperature 1, top-p 0.95). Each is asked twice and both times are printed: what was scored before
is scored again faster here. How many answers are the same is printed: it should be all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from trimtab.mechanisms.adversarial.cases import attack_cases, ordinary_cases
from trimtab.mechanisms.values.cases import preference_cases
from trimtab.models.load import load_model
from trimtab.models.local import LocalModel
from trimtab.models.protocol import Question
from trimtab.suites.splits import spread

PEER_BATCH = 32
SAMPLING = {"do_sample": True, "temperature": 1.0, "top_p": 0.95, "top_k": 0}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--prompts", type=int, default=96)
    parser.add_argument("--tokens", type=int, default=40)
    options = parser.parse_args()
    model = load_model(options.model)
    if not isinstance(model, LocalModel):
        parser.error("name a model on this machine")
    cases = [*attack_cases("test"), *ordinary_cases("test", options.prompts)]
    prompts = [c.prompt for c in spread(cases, options.prompts)]
    tokens = [encoded(model, p) for p in prompts]
    print(f"{len(prompts)} prompts, {sum(map(len, tokens))} tokens, {model.device}, {model.dtype}")
    ours = timed("write", lambda: [a.text for a in model.generate(prompts, max_tokens=options.tokens)])
    theirs = timed("write, transformers", lambda: generated(model, tokens, options.tokens))
    print(f"same answers: {sum(a == b for a, b in zip(ours, theirs, strict=True))} of {len(ours)}")
    timed("sample", lambda: model.generate(prompts, max_tokens=options.tokens, temperature=1.0))
    timed("sample, transformers", lambda: generated(model, tokens, options.tokens, **SAMPLING))
    questions = [
        Question(text, c.prompt)
        for c in spread(preference_cases("test"), options.prompts // 2)
        for text in (c.chosen, c.rejected)
    ]
    scores = timed("score", lambda: [s.total for s in model.loglikelihood(questions)])
    plain = timed("score, transformers", lambda: scored(model, questions))
    print(f"largest difference: {max(abs(a - b) for a, b in zip(scores, plain, strict=True)):.1e} nats")


def encoded(model: LocalModel, messages: Any) -> list[int]:
    text = model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    found: list[int] = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


def timed(name: str, work: Callable[[], list[Any]]) -> list[Any]:
    """Return what `work` does, and print how long it takes, twice."""
    seconds, results = [], []
    for _ in range(2):
        started = time.perf_counter()
        results = work()
        seconds.append(time.perf_counter() - started)
    print(f"{name}: {seconds[0]:.1f} s, again {seconds[1]:.1f} s", flush=True)
    return results


def sorted_batches(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    return [order[start : start + PEER_BATCH] for start in range(0, len(order), PEER_BATCH)]


def generated(model: LocalModel, rows: list[list[int]], most: int, **sampling: Any) -> list[str]:
    """Answer as a plain use of transformers would."""
    answers: dict[int, str] = {}
    for batch in sorted_batches(rows):
        given = model.tokenizer.pad({"input_ids": [rows[i] for i in batch]}, return_tensors="pt").to(
            model.device
        )
        with torch.inference_mode():
            out = model.network.generate(
                **given,
                max_new_tokens=most,
                pad_token_id=model.tokenizer.pad_token_id,
                **(sampling or {"do_sample": False}),
            )
        new = out[:, given["input_ids"].shape[1] :]
        for i, text in zip(batch, model.tokenizer.batch_decode(new, skip_special_tokens=True), strict=True):
            answers[i] = text.strip()
    return [answers[i] for i in range(len(rows))]


def scored(model: LocalModel, questions: Sequence[Question]) -> list[float]:
    """Score as a plain use of transformers would."""
    before = [encoded(model, q.messages) for q in questions]
    replies = [model.tokenizer(q.text, add_special_tokens=False)["input_ids"] for q in questions]
    rows = [a + b for a, b in zip(before, replies, strict=True)]
    totals: dict[int, float] = {}
    for batch in sorted_batches(rows):
        given = model.tokenizer.pad({"input_ids": [rows[i] for i in batch]}, return_tensors="pt").to(
            model.device
        )
        places = (given["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        with torch.inference_mode():
            logits = model.network(**given, position_ids=places, use_cache=False).logits[:, :-1].float()
        picked = logits.gather(-1, given["input_ids"][:, 1:, None])[..., 0] - logits.logsumexp(-1)
        for i, row in zip(batch, picked, strict=True):
            totals[i] = float(row[-len(replies[i]) :].sum())
    return [totals[i] for i in range(len(rows))]


if __name__ == "__main__":
    main()
