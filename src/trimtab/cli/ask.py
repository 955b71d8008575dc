"""`trimtab ask`: one prompt."""

from __future__ import annotations

import typer


def ask(
    model: str = typer.Argument(help="Model name, or the path of a run or bundle."),
    prompt: str = typer.Argument(help="What to ask."),
    tokens: int = typer.Option(120, min=1, help="At most this many tokens."),
    without: list[str] = typer.Option(
        [], help="Leave out a part of the system: guard, adversarial, bias, values."
    ),
    adapter: list[str] = typer.Option(
        [], help="Put a PEFT adapter on a base model: FOLDER, or FOLDER=STRENGTH; repeatable."
    ),
    json: bool = typer.Option(False, "--json", help="One JSON line on stdout."),
) -> None:
    """Put one prompt to a model or a system; shows the guard's decision and the answer.

    Example: `trimtab ask runs/RUN 'How do I get a wine stain out of a carpet?'`
    """
    from trimtab.cli.output import event, say, tell
    from trimtab.errors import ConfigError, ModelError, Problem
    from trimtab.models.load import load_system
    from trimtab.models.protocol import user
    from trimtab.probes.judge import judge

    prompt = prompt.encode(errors="surrogateescape").decode(errors="replace")  # a shell passes any bytes
    if not prompt.strip():
        raise ConfigError(Problem("ask.empty", "PROMPT", "is blank", "Write what to ask."))
    system = load_system(model, without=without, adapters=adapter)
    guard = system.guard
    score = float(guard.scores([prompt])[0]) if guard else None
    answer = system.generate([user(prompt)], max_tokens=tokens)[0]
    decision = "no guard" if guard is None else "blocked" if answer.blocked else "passed"
    label = None if answer.error else judge(answer.text)
    if json:
        event("answer", guard=decision, score=score, text=answer.text, label=label, error=answer.error)
    if answer.error:
        fix = "Ask again, or something else."
        raise ModelError(Problem("model.no-answer", system.name, answer.error, fix))
    if json:
        return
    threshold = (
        f" (score {score:.2f}, blocks from {guard.threshold:.2f})" if guard and score is not None else ""
    )
    tell(f"guard: {decision}{threshold}\njudged: {label}\n")
    tell(answer.text)
    if not answer.finished:
        say(f"the answer was cut at {tokens} tokens; --tokens allows more")
    say(f"next: trimtab probe --model {model} --suite YOUR_SUITE.jsonl")
