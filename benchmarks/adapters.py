"""What an adapter trained in one way does on `tune`, strength by strength: the rows of "what was tried" in RESULTS.md.

    python benchmarks/adapters.py values [--authored 200] [--rate 2e-3] [--passes 1] [--beta 0.1] [--loss apo_zero] [--weights 1] [--retain 160] [--loops 0.01]
    python benchmarks/adapters.py bias [--rate 1e-3] [--passes 1] [--retain 160] [--loops 0.03] [--lm 0.2]
    python benchmarks/adapters.py adversarial [--harmful 160] [--ordinary 60] [--rate 7e-4] [--passes 1] [--rank 8]

`--loss` takes names of TRL's DPO losses, such as `sigmoid_norm sft` with `--weights 1 0.2`. `test` is not read.
`--loss sigmoid` is plain DPO; `--retain 0` keeps to the bare model on no texts; `--loops 0` does not keep from loops.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import trl

from trimtab.charter.charter import read_charter
from trimtab.mechanisms.adversarial.records import make_adversarial
from trimtab.mechanisms.bias.records import make_bias
from trimtab.mechanisms.values.records import make_values
from trimtab.mechanisms.writer import Writer
from trimtab.models.load import load_model
from trimtab.probes.preference import margin
from trimtab.probes.registry import probe_for
from trimtab.run.config import Sizes
from trimtab.run.measure import tune_suites
from trimtab.training import dpo, equalise
from trimtab.training.anchor import anchor_records, own_answers, refusals
from trimtab.training.dpo import BETA, train_dpo
from trimtab.training.sft import train_sft

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
WRITTEN = ("attack", "twins", "ordinary")
SUITES = {
    "values": ("preference_charter", "text", *WRITTEN),
    "bias": ("pair_roles", "text", *WRITTEN),
    "adversarial": (*WRITTEN, "text"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=SUITES)
    for name, value in {
        "authored": 200,
        "contrast": 24,
        "harmful": 160,
        "ordinary": 60,
        "rank": 8,
        "retain": 160,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--beta", type=float, default=BETA)
    parser.add_argument("--loss", nargs="+", default=["apo_zero"])
    parser.add_argument("--weights", nargs="+", type=float)
    parser.add_argument("--loops", type=float)
    parser.add_argument("--lm", type=float, default=equalise.RETAINING_LM)
    parser.add_argument("--cases", type=int, default=32, help="of each suite of tune; 64 of some")
    options = parser.parse_args()
    model: Any = load_model("embedded")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "adapter"
        trained = train(model, options, folder)
        print(f"{trained.records} records, {trained.seconds:.0f} s, last loss {trained.last_loss:.3f}\n")
        suites = tune_suites(Sizes(tune_cases=options.cases))
        for strength in STRENGTHS:
            model.set_adapters({folder: strength})
            told = "; ".join(figures(model, name, *suites[name]) for name in SUITES[options.what])
            print(f"{strength:g}: {told}", flush=True)


def train(model: Any, options: argparse.Namespace, folder: Path) -> Any:
    writer, passes = Writer(model, None, seed=0), options.passes
    if options.what == "adversarial":
        made = make_adversarial(writer, harmful=options.harmful, ordinary_requests=options.ordinary).records
        rows = [*made, *anchor_records(40, mechanism="adversarial", time="")]
        rate, rank = options.rate or 7e-4, options.rank
        return train_sft(model, rows, folder, seed=0, rate=rate, epochs=passes, rank=rank)
    equalise.RETAINING_LM = options.lm
    if options.loops is not None:
        equalise.LOOPS = dpo.LOOPS = options.loops
    texts: list[Any] = []
    if options.retain:
        made = make_adversarial(writer, harmful=options.harmful, ordinary_requests=options.ordinary).records
        own = [*own_answers(made, model.digest), *refusals(made)]
        texts = [*anchor_records(options.retain, mechanism=options.what), *own]
    if options.what == "bias":
        sizes = Sizes()
        rows = make_bias(
            writer, writings=sizes.writings, pairs=sizes.pair_records, traits=sizes.trait_records
        ).records
        rate = options.rate or equalise.RATE
        return equalise.train_equalise(model, rows, folder, seed=0, texts=texts, rate=rate, epochs=passes)
    rows = make_values(writer, read_charter(), authored=options.authored, contrast=options.contrast).records
    with_other_losses(options.loss, options.weights)
    settings = {"texts": texts, "rate": options.rate, "epochs": passes, "beta": options.beta}
    return train_dpo(model, rows, folder, seed=0, **settings)


def with_other_losses(losses: list[str], weights: list[float] | None) -> None:
    """Let TRL's DPO have other losses than the one that the product trains with."""
    made = trl.DPOConfig

    def config(**given: Any) -> Any:
        return made(**{**given, "loss_type": losses, "loss_weights": weights})

    trl.DPOConfig = config


def figures(model: Any, name: str, kind: str, cases: Any) -> str:
    probe = probe_for(kind)
    outcomes = probe.measure(model, cases, system="tune")
    told = [f"{e.name} {e.value:.3f} [{e.low:.3f}, {e.high:.3f}]" for e in probe.figures(outcomes)]
    extra = [f"margin {margin(outcomes):+.3f}"] if kind == "preference" else []
    return f"{name} (n {len(cases)}): " + ", ".join([*told, *extra])


if __name__ == "__main__":
    main()
