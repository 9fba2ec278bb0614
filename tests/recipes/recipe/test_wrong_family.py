"""A wrong entry in the table of families is caught before a token is trained, and says where to look."""

import re
from dataclasses import replace

import pytest
from support.commands import SMALL_COUNTDOWN
from support.models.families import make_family_model

from doubleback.rl.policy import families

WRONG = {
    "attention": ({"attention": ("query", "key", "value")}, "no attention found in this qwen3_moe model"),
    "experts": ({"experts": ("experts.gate_up_projection",)}, "no experts found in this qwen3_moe model"),
    "half of the experts": (
        {"experts": ("experts.gate_up_proj", "experts.down")},
        "experts.down is no parameter of this qwen3_moe model",
    ),
    "router": ({"router": "mlp.router"}, "no router under the name 'mlp.router' in this qwen3_moe model"),
}
SMALL = [*SMALL_COUNTDOWN, "steps=1", "lora.rank=4"]


@pytest.mark.parametrize("name", WRONG)
def test_wrong_names_are_refused(run, tmp_path, monkeypatch, name):
    changes, message = WRONG[name]
    make_family_model("qwen3_moe", tmp_path / "model")
    wrong = replace(families.FAMILIES["qwen3_moe"], **changes)
    monkeypatch.setitem(families.FAMILIES, "qwen3_moe", wrong)
    code, _, err = run("check", "countdown", f"model.path={tmp_path / 'model'}", "engine.name=transformers", *SMALL)
    text = " ".join(err.split())
    assert message in text
    assert re.search(r"rl/policy/families\.py", text)
    assert code == 2


@pytest.mark.slow
def test_a_reload_that_is_not_exact_is_refused(run, tmp_path, monkeypatch):
    """gpt-oss with the entry of a family whose weights vLLM reloads."""
    make_family_model("gpt_oss", tmp_path / "model")
    wrong = replace(families.FAMILIES["gpt_oss"], can_reload=True)
    monkeypatch.setitem(families.FAMILIES, "gpt_oss", wrong)
    code, _, err = run("train", "countdown", f"model.path={tmp_path / 'model'}", *SMALL, "--out", tmp_path / "run")
    assert code == 1
    assert "preflight: trainer and engine disagree on a random adapter on attention, experts" in " ".join(err.split())
