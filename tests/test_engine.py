"""Model work in batches: finished parts are kept, and everything is the same wherever it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from trimtab import engine
from trimtab.errors import ConfigError, InputError, MissingPartError, ModelError, Problem
from trimtab.models.batched import Batched, Recipe, generate
from trimtab.models.local import BATCH, LocalModel
from trimtab.models.protocol import Answer, Capabilities, Likelihood, Messages, Progress, Question, user

Rows = list[dict[str, Any]]
BATCHES: list[Rows] = [[{"x": 1}, {"x": 2}], [{"x": 3}, {"x": 4}], [{"x": 5}]]


class Counted:
    """Work that says which batches it did."""

    def __init__(self, fails_at: int = -1) -> None:
        self.done: list[int] = []
        self.fails_at = fails_at

    def __call__(self, number: int, batch: Rows) -> Rows:
        if number == self.fails_at:
            raise ModelError(Problem("test.fails", "here", "fails", "Do not."))
        self.done.append(number)
        return [{"y": row["x"] * 10, "in": (number,)} for row in batch]


def test_results_come_in_the_order_of_the_rows() -> None:
    found = engine.map_batches(BATCHES, Counted(), folder=None)
    assert [row["y"] for row in found] == [10, 20, 30, 40, 50]
    assert [row["in"] for row in found] == [[0], [0], [1], [1], [2]]
    assert engine.map_batches([], Counted(), folder=None) == []


def test_a_finished_batch_is_not_done_again(tmp_path: Path) -> None:
    first, second = Counted(), Counted()
    one = engine.map_batches(BATCHES, first, folder=tmp_path)
    two = engine.map_batches(BATCHES, second, folder=tmp_path)
    assert one == two
    assert (first.done, second.done) == ([0, 1, 2], [])


def test_what_fails_leaves_the_finished_parts(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="fails"):
        engine.map_batches(BATCHES, Counted(fails_at=1), folder=tmp_path)
    again = Counted()
    engine.map_batches(BATCHES, again, folder=tmp_path)
    assert again.done == [1, 2]


def test_a_changed_batch_is_done_again_alone(tmp_path: Path) -> None:
    engine.map_batches(BATCHES, Counted(), folder=tmp_path)
    again = Counted()
    found = engine.map_batches([BATCHES[0], [{"x": 7}], BATCHES[2]], again, folder=tmp_path)
    assert again.done == [1]
    assert [row["y"] for row in found] == [10, 20, 70, 50]


def test_the_same_rows_in_another_place_are_another_batch(tmp_path: Path) -> None:
    # The seed of a batch follows from its number.
    engine.map_batches(BATCHES[:2], Counted(), folder=tmp_path)
    again = Counted()
    engine.map_batches(BATCHES[1::-1], again, folder=tmp_path)
    assert again.done == [0, 1]


def test_another_key_is_done_anew(tmp_path: Path) -> None:
    engine.map_batches(BATCHES, Counted(), folder=tmp_path, key={"seed": 1})
    again = Counted()
    engine.map_batches(BATCHES, again, folder=tmp_path, key={"seed": 2})
    assert again.done == [0, 1, 2]


def test_parts_past_the_last_batch_are_removed(tmp_path: Path) -> None:
    engine.map_batches(BATCHES, Counted(), folder=tmp_path)
    engine.map_batches(BATCHES[:1], Counted(), folder=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["part-00000.parquet"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"payload": ['{"y": 0}'] * 2}), path)


@pytest.mark.parametrize("damage", [cut, empty, foreign])
def test_a_damaged_part_is_done_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    whole = engine.map_batches(BATCHES, Counted(), folder=tmp_path)
    damage(tmp_path / "part-00001.parquet")
    again = Counted()
    assert engine.map_batches(BATCHES, again, folder=tmp_path) == whole
    assert again.done == [1]


def test_progress_counts_rows_and_starts_with_those_done_before(tmp_path: Path) -> None:
    seen: list[float] = []
    engine.map_batches(BATCHES[:2], Counted(), folder=tmp_path)
    engine.map_batches(BATCHES, Counted(), folder=tmp_path, progress=seen.append)
    assert seen == [4, 1]


def test_a_folder_that_cannot_be_written_is_one_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"write\.failed"):
        engine.map_batches(BATCHES, Counted(), folder=tmp_path / "file" / "parts")


def test_columns_of_mixed_types_are_all_named() -> None:
    with pytest.raises(InputError) as caught:
        engine.frame([{"a": 1, "b": "x", "c": None}, {"a": "one", "b": 2, "c": 1.5}])
    assert [p.place for p in caught.value.problems] == ["column 'a'", "column 'b'"]
    assert engine.frame([{"a": 1}, {"b": "x"}]).to_pydict() == {"a": [1, None], "b": [None, "x"]}


def test_a_table_of_this_machine_needs_no_ray() -> None:
    code = "import sys; from trimtab.engine import frame; frame([{'a': 1}]).count_rows(); print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("spec", ["", "spark", "Ray", "ray://", "ray://host", "ray://host:port", "ray:8"])
def test_an_unknown_engine_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"engine\.unknown"):
        engine.set_engine(spec)


def test_ray_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPartError, match=r"pip install 'trimtab\[ray\]'"):
        engine.set_engine("ray")
    assert not engine.spreads()


# ---- a model asked through the engine


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> LocalModel:
    return LocalModel(tiny_folder, name=f"dir/{tiny_folder}")


@pytest.fixture(scope="module")
def adapter(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a LoRA folder whose weights change every answer."""
    folder = tmp_path_factory.mktemp("adapter")
    config = json.loads((tiny_folder / "config.json").read_text())
    size, stem = config["hidden_size"], "base_model.model.model.layers.0.self_attn.q_proj"
    chance = torch.Generator().manual_seed(1)
    weights = {f"{stem}.lora_A.weight": (2, size), f"{stem}.lora_B.weight": (size, 2)}
    save_file(
        {k: torch.randn(shape, generator=chance) for k, shape in weights.items()},
        folder / "adapter_model.safetensors",
    )
    about = {"r": 2, "lora_alpha": 4, "peft_type": "LORA", "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(about))
    return folder


PROMPTS: list[Messages] = [user(f"Tell me {'more and ' * (i * 7 % 11)}more about {i}.") for i in range(70)]
QUESTIONS = [Question("word " * (1 + i * 37 % 90), PROMPTS[i] if i % 3 else []) for i in range(70)]


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_answers_are_those_of_the_model(model: LocalModel, tmp_path: Path, temperature: float) -> None:
    asked = {"max_tokens": 6, "temperature": temperature, "seed": 11}
    direct = model.generate(PROMPTS, **asked)  # type: ignore[arg-type]
    for _ in "once", "again from the parts":
        assert Batched(model, tmp_path).generate(PROMPTS, **asked) == direct  # type: ignore[arg-type]
    assert len(list(tmp_path.iterdir())) == -(-len(PROMPTS) // BATCH)
    assert len({a.text for a in direct}) > 1


def test_scores_are_those_of_the_model(model: LocalModel, tmp_path: Path) -> None:
    direct = model.loglikelihood(QUESTIONS)
    for _ in "once", "again from the parts":
        assert Batched(model, tmp_path).loglikelihood(QUESTIONS) == direct
    assert len(list(tmp_path.iterdir())) > 1


def test_every_row_is_counted_once(model: LocalModel) -> None:
    seen: list[float] = []
    Batched(model).generate(PROMPTS, max_tokens=1, progress=seen.append)
    assert sum(seen) == len(PROMPTS)
    assert len([n for n in seen if n]) == -(-len(PROMPTS) // BATCH), "progress is told at each batch"


def test_finished_batches_are_not_asked_again(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Batched(model, tmp_path).generate(PROMPTS, max_tokens=2)
    monkeypatch.setattr(LocalModel, "_generate_batch", None)
    assert len(Batched(model, tmp_path).generate(PROMPTS, max_tokens=2)) == len(PROMPTS)


@pytest.mark.parametrize("changed", [{"max_tokens": 3}, {"temperature": 0.5}, {"seed": 1}])
def test_other_settings_are_asked_anew(model: LocalModel, tmp_path: Path, changed: dict[str, Any]) -> None:
    settings = {"max_tokens": 2, "temperature": 1.0, "seed": 0}
    Batched(model, tmp_path).generate(PROMPTS[:4], **settings)  # type: ignore[arg-type]
    asked = {**settings, **changed}
    found = Batched(model, tmp_path).generate(PROMPTS[:4], **asked)
    assert found == model.generate(PROMPTS[:4], **asked)


def test_other_adapters_and_strengths_are_asked_anew(
    model: LocalModel, adapter: Path, tmp_path: Path
) -> None:
    found = []
    for strength in (0.0, 0.5, 1.0):
        model.set_adapters({adapter: strength})
        found.append(Batched(model, tmp_path).loglikelihood(QUESTIONS[:4]))
        assert found[-1] == model.loglikelihood(QUESTIONS[:4])
    model.set_adapters({})
    assert found[0] != found[1] != found[2]


class Remote:
    """A model of another kind, that counts its calls."""

    name, digest, capabilities = "openai/x", "d1", Capabilities(loglikelihood=True, trainable=False)

    def __init__(self, digest: str = "d1") -> None:
        self.digest = digest
        self.calls: list[int] = []

    def generate(
        self, prompts: Any, *, max_tokens: int, temperature: float = 0.0, seed: int = 0,
        progress: Progress | None = None,
    ) -> list[Answer]:  # fmt: skip
        self.calls.append(len(prompts))
        return [Answer(f"{self.digest} {p[-1]['content']}", 1, finished=True) for p in prompts]

    def loglikelihood(self, questions: Any, *, progress: Progress | None = None) -> list[Likelihood]:
        self.calls.append(len(questions))
        return [Likelihood(-1.5, len(q.text)) for q in questions]


def test_any_model_is_asked_in_batches(tmp_path: Path) -> None:
    remote = Remote()
    batched = Batched(remote, tmp_path)
    answers = batched.generate(PROMPTS, max_tokens=2)
    assert [a.text for a in answers] == [f"d1 {p[-1]['content']}" for p in PROMPTS]
    assert remote.calls == [32, 32, 6]
    assert [s.tokens for s in batched.loglikelihood(QUESTIONS)] == [len(q.text) for q in QUESTIONS]
    assert (batched.name, batched.digest, batched.capabilities) == ("openai/x", "d1", remote.capabilities)


def test_another_model_is_asked_anew(tmp_path: Path) -> None:
    Batched(Remote(), tmp_path).generate(PROMPTS, max_tokens=2)
    answers = Batched(Remote("d2"), tmp_path).generate(PROMPTS, max_tokens=2)
    assert all(a.text.startswith("d2 ") for a in answers)


# ---- what a worker of a cluster does


def test_a_batch_whose_worker_dies_is_not_begun_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    kept: dict[bytes, bytes] = {}  # in place of the cluster's
    monkeypatch.setattr("ray.experimental.internal_kv._internal_kv_get", kept.get)
    monkeypatch.setattr("ray.experimental.internal_kv._internal_kv_put", kept.__setitem__)

    def dies(number: int, rows: Rows) -> Rows:
        raise SystemExit

    for _ in range(engine.TRIES):
        with pytest.raises(SystemExit):
            engine._packed(dies, "query", 4, [{}])
    answer = json.loads(engine._packed(dies, "query", 4, [{}]))
    assert [p["code"] for p in answer["problems"]] == ["engine.worker-died"]
    assert "results" in json.loads(engine._packed(Counted(), "query", 5, [{"x": 1}]))


def recipe(model: LocalModel) -> Recipe:
    return Recipe(model.name, model.folder, model.digest, ())


def test_a_worker_loads_a_model_once(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.models.batched._opened", None)
    opened = recipe(model).open()
    assert opened is recipe(model).open()
    assert opened is not model
    settings = {"max_tokens": 3, "temperature": 0.0, "seed": 0}
    rows = [{"messages": p} for p in PROMPTS[:3]]
    assert generate(recipe(model), settings, 0, rows) == generate(model, settings, 0, rows)


def test_a_worker_with_other_weights_refuses(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.models.batched._opened", None)
    with pytest.raises(ModelError, match=r"cluster\.model"):
        Recipe(model.name, model.folder, "other", ()).open()


def test_a_worker_without_the_adapter_refuses(
    model: LocalModel, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trimtab.models.batched import Adapter

    monkeypatch.setattr("trimtab.models.batched._opened", None)
    for folder in (tmp_path / "gone", adapter):
        asked = Recipe(model.name, model.folder, model.digest, (Adapter(folder, "other", 1.0),))
        with pytest.raises(ModelError, match=r"cluster\.adapter"):
            asked.open()


CLUSTER = """
import json, os, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from test_engine import PROMPTS, QUESTIONS
from trimtab import engine
from trimtab.errors import ModelError, Problem, TrimtabError
from trimtab.models.batched import Batched
from trimtab.models.local import LocalModel

folder, adapter, parts = map(Path, sys.argv[1:])
model = LocalModel(folder, name=f"dir/{folder}")
model.set_adapters({adapter: 0.7})

def ask(place):
    batched = Batched(model, place)
    made = batched.generate(PROMPTS, max_tokens=6, temperature=0.9, seed=5)
    return made, Batched(model).loglikelihood(QUESTIONS)

native = ask(parts / "native")
engine.load_daft()  # switches telemetry off before Ray is there
from ray.cluster_utils import Cluster
import ray
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
engine.set_engine("ray")

def where(number, rows):
    return [{"pid": os.getpid(), "node": ray.get_runtime_context().get_node_id()}]

def fails(number, rows):
    raise ModelError(Problem("test.fails", "a worker", "fails", "Do not."))

seen = [engine.map_batches([[{"n": i}] for i in range(8)], where, folder=None) for _ in range(2)]
try:
    engine.map_batches([[{"n": 1}]], fails, folder=None)
    failed = ""
except TrimtabError as error:
    failed = str(error)
model.network = None  # only the workers can answer now
same = [ask(parts / "ray") == native for _ in range(2)]
print(json.dumps({
    "same": same, "nodes": len({r["node"] for r in seen[0]}), "failed": failed,
    "processes": [sorted({r["pid"] for r in rows}) for rows in seen], "own": os.getpid(),
    "parts": [sorted(p.name for p in (parts / name).iterdir()) for name in ("native", "ray")],
}))
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.slow
def test_a_cluster_gives_what_this_machine_gives(tiny_folder: Path, adapter: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    # A process of its own: the engine is chosen once, and Ray's warnings are not ours.
    out = subprocess.run(
        [sys.executable, "-c", CLUSTER, str(tiny_folder), str(adapter), str(tmp_path)],
        cwd=Path(__file__).parent, capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert out.returncode == 0, out.stderr[-3000:]
    found = json.loads(out.stdout.splitlines()[-1])
    assert found["same"] == [True, True]
    assert found["nodes"] == 2
    assert found["processes"][0] == found["processes"][1], "workers live on, and keep their model"
    assert found["own"] not in found["processes"][0]
    assert found["failed"] == "a worker: fails. Do not. [test.fails]"
    assert found["parts"][0] == found["parts"][1]
