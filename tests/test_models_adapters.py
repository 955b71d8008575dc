"""Adapters in the weights: the sum that PEFT computes, taken back exactly, and nothing applied in part."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from trimtab.errors import ModelError
from trimtab.models import local
from trimtab.models.local import LocalModel
from trimtab.models.lora import write_sum

IDS = torch.tensor([[1, 20, 30, 40, 50, 60]])


@pytest.fixture(scope="module")
def adapters(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two LoRA folders of different ranks and layers, one of them rank-stabilised, as PEFT saves them."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folders = []
    torch.manual_seed(1)
    for i, shape in enumerate(
        [
            {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"]},
            {"r": 2, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj"], "use_rslora": True},
        ]
    ):
        network = get_peft_model(
            AutoModelForCausalLM.from_pretrained(tiny_folder), LoraConfig(task_type="CAUSAL_LM", **shape)
        )
        for name, weight in network.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.3)
        folders.append(tmp_path_factory.mktemp(f"adapter{i}"))
        network.save_pretrained(folders[-1])
    return folders


@pytest.fixture
def model(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> LocalModel:
    monkeypatch.setattr(local, "pick_device", lambda: ("cpu", torch.float32))
    return LocalModel(tiny_folder, name="tiny")


def logits(network: Any) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = network(input_ids=IDS).logits
    return found


def test_one_adapter_does_what_several_do_at_their_strengths(
    model: LocalModel, adapters: list[Path], tiny_folder: Path, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    weighted = dict(zip(adapters, (0.5, 2.0), strict=True))
    assert write_sum(weighted, tmp_path / "one") == 6
    model.set_adapters(weighted)
    network = AutoModelForCausalLM.from_pretrained(tiny_folder)
    bare = logits(network)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # such as weights that are missing
        served = PeftModel.from_pretrained(network, tmp_path / "one").eval()
    torch.testing.assert_close(logits(served), logits(model.network), rtol=1e-4, atol=1e-5)
    assert (logits(served) - bare).abs().max() > 0.01
    # It is itself an adapter that is read here.
    model.set_adapters({tmp_path / "one": 1.0})
    torch.testing.assert_close(logits(model.network), logits(served), rtol=1e-4, atol=1e-5)


def test_the_mix_equals_pefts_exact_sum_and_is_taken_back_exactly(
    model: LocalModel, adapters: list[Path], tiny_folder: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    bare = {k: v.clone() for k, v in model.network.state_dict().items()}
    model.set_adapters({adapters[0]: 0.5, adapters[1]: 1.5})
    mixed = logits(model.network)

    peft = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tiny_folder), adapters[0], adapter_name="one"
    )
    peft.load_adapter(adapters[1], adapter_name="two")
    peft.add_weighted_adapter(["one", "two"], [0.5, 1.5], combination_type="cat", adapter_name="mix")
    peft.set_adapter("mix")
    torch.testing.assert_close(mixed, logits(peft.eval()), atol=1e-4, rtol=1e-4)

    model.set_adapters({adapters[0]: 1.0})
    other = logits(model.network)
    assert not torch.allclose(other, mixed)
    model.set_adapters({adapters[0]: 0.5, adapters[1]: 1.5})
    assert torch.equal(logits(model.network), mixed)
    model.set_adapters({adapters[0]: 0.0})
    assert all(torch.equal(v, bare[k]) for k, v in model.network.state_dict().items())


def spoil(folder: Path, how: str) -> None:
    weights, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    tensors, about = load_file(weights), json.loads(config.read_text())
    key = next(k for k in sorted(tensors) if ".lora_A." in k)
    if how == "pickled":
        weights.rename(folder / "adapter_model.bin")
        return
    if how == "no weights":
        weights.unlink()
        return
    if how == "cut":
        weights.write_bytes(weights.read_bytes()[:200])
        return
    if how in ("[]", "{}", "{"):
        config.write_text(how)
        return
    if how == "half":
        del tensors[key.replace(".lora_A.", ".lora_B.")]
    elif how == "not finite":
        tensors[key][0, 0] = torch.nan
    elif how == "other shape":
        tensors[key] = torch.zeros(4, 5)
    elif how == "other layer":
        tensors = {k.replace("layers.1", "layers.7"): v for k, v in tensors.items()}
    elif how == "more":
        tensors["base_model.model.lm_head.weight"] = torch.zeros(1)
    elif how == "lone B":
        del tensors[key]
    elif how == "nothing":
        tensors = {}
    else:
        about.update(json.loads(how))
    save_file(tensors, weights)
    config.write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("pickled", "adapter.pickle"),
        ("no weights", "adapter.damaged"),
        ("cut", "adapter.damaged"),
        ("[]", "adapter.damaged"),
        ("{}", "adapter.damaged"),
        ("{", "adapter.damaged"),
        ("half", "adapter.damaged"),
        ("not finite", "adapter.damaged"),
        ('{"r": 3}', "adapter.damaged"),
        ('{"r": 0}', "adapter.damaged"),
        ("other shape", "adapter.other-model"),
        ("other layer", "adapter.other-model"),
        ("nothing", "adapter.other-model"),
        ("more", "adapter.unsupported"),
        ("lone B", "adapter.unsupported"),
        ('{"use_dora": true}', "adapter.unsupported"),
        ('{"alpha_pattern": {"q_proj": 3}}', "adapter.unsupported"),
        ('{"peft_type": "IA3"}', "adapter.unsupported"),
    ],
)
def test_an_adapter_that_is_not_wholly_used_is_refused_and_changes_nothing(
    model: LocalModel, adapters: list[Path], tmp_path: Path, how: str, code: str
) -> None:
    bad = Path(shutil.copytree(adapters[0], tmp_path / "bad"))
    spoil(bad, how)
    model.set_adapters({adapters[1]: 1.0})
    before = logits(model.network)
    with pytest.raises(ModelError) as caught:
        model.set_adapters({adapters[0]: 1.0, bad: 1.0})
    assert code in {p.code for p in caught.value.problems}
    assert str(bad) in caught.value.problems[0].place
    assert torch.equal(logits(model.network), before)
