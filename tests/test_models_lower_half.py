"""What the lower half of a model makes of texts: read once, whatever adapters are above it, and anew when one is on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from trimtab.models import local, lower_half
from trimtab.models.local import LocalModel
from trimtab.models.protocol import Question, user

QUESTIONS = [Question(t, user("Why is it so?")) for t in ("It is.", "Nobody knows.")] + [Question("Alone.")]


def adapter(base: Path, folder: Path, layers: list[int], of: str = "q_proj") -> Path:
    """Write a LoRA adapter of some layers."""
    torch.manual_seed(1)
    shape = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=[of], layers_to_transform=layers)
    network = get_peft_model(AutoModelForCausalLM.from_pretrained(base), shape)
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    network.save_pretrained(folder)
    return folder


class Counted:
    """A model, and how often its lower half was read."""

    def __init__(self, folder: Path) -> None:
        self.model = LocalModel(folder, name="tiny")
        self.read = 0
        self.model.network.model.layers[0].self_attn.register_forward_hook(self._count)

    def _count(self, *_: object) -> None:
        self.read += 1

    def scores(self, adapters: Sequence[Path] = ()) -> list[float]:
        self.model.set_adapters(dict.fromkeys(adapters, 1.0))
        return [s.total for s in self.model.loglikelihood(QUESTIONS)]


@pytest.fixture
def model(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Counted:
    monkeypatch.setattr(local, "pick_device", lambda: ("cpu", torch.float32))
    return Counted(tiny_folder)


def test_under_adapters_above_it_a_text_is_read_once(
    model: Counted, tiny_folder: Path, tmp_path: Path
) -> None:
    upper = adapter(tiny_folder, tmp_path / "upper", [1])
    bare = model.scores()
    read = model.read
    adapted = model.scores([upper])
    assert read == model.read > 0
    assert adapted != bare
    assert adapted == Counted(tiny_folder).scores([upper])
    assert model.scores() == bare


def test_under_an_adapter_on_it_a_text_is_read_anew(
    model: Counted, tiny_folder: Path, tmp_path: Path
) -> None:
    lower = adapter(tiny_folder, tmp_path / "lower", [0])
    bare = model.scores()
    assert model.scores([lower]) == Counted(tiny_folder).scores([lower]) != bare
    assert model.scores() == bare


def test_what_is_kept_has_an_end(model: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lower_half, "MOST_BYTES", 0)
    before = model.scores()
    read = model.read
    assert model.scores() == before
    assert model.read == 2 * read


def test_what_all_prompts_begin_with_is_read_anew_under_another_adapter(
    model: Counted, tiny_folder: Path, tmp_path: Path
) -> None:
    upper = adapter(tiny_folder, tmp_path / "upper", [1], "v_proj")  # of what is kept of the beginning
    questions = [Question("It is.", user(q)) for q in ("Why is it so?", "Who says so?")]
    model.model.loglikelihood(questions)
    model.model.set_adapters({upper: 1.0})
    found = [s.total for s in model.model.loglikelihood(questions)]
    fresh = LocalModel(tiny_folder, name="tiny")
    fresh.set_adapters({upper: 1.0})
    assert found == [s.total for s in fresh.loglikelihood(questions)]
