"""`lora.init`: a run that starts from an earlier adapter, resumes exactly, and refuses one that does not fit."""

import json
import os
import shutil

import pytest
from support.commands import SMALL_COUNTDOWN, untimed

from doubleback.eval.show.console import Console
from doubleback.recipes import load_recipe, train
from doubleback.recipes.recipe.start import initial_adapter
from doubleback.rewards.types import ConfigError
from doubleback.rl.policy.base import load_base
from doubleback.rl.policy.initial import start_from
from doubleback.rl.policy.lora import attach, export, save
from doubleback.rl.types import ModelSource

SMALL = [
    *("engine.name=transformers", "checkpoint.every=1", "eval.n=1", "eval.k=[1]", "eval.test_problems=1"),
    *("eval.validation_problems=1", "eval.validation_n=1", "sync.num_canaries=1", *SMALL_COUNTDOWN),
]


def recipe(*overrides):
    return load_recipe("countdown", [*SMALL, *overrides])


def trained(out, *overrides, resume=False):
    return train(recipe(*overrides), out, resume=resume, console=Console(quiet=True))


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """A run of one step."""
    return trained(tmp_path_factory.mktemp("earlier") / "run", "steps=1")


def lines(run):
    return [
        {name: value for name, value in untimed(line).items() if not name.startswith("eval/")}
        for line in run.metrics().to_pylist()
    ]


@pytest.mark.slow
def test_a_run_starts_from_the_newest_adapter_of_another_and_resumes_exactly(earlier, tmp_path):
    """That other run may be gone by then: what is resumed has checkpoints of its own."""
    source = shutil.copytree(earlier.path, tmp_path / "earlier")
    init = f"lora.init={source}"
    whole = trained(tmp_path / "whole", init, "steps=2")
    started = json.loads((whole.path / "init.json").read_text())
    assert started["adapter"] == str(source / "checkpoints" / "step-00001")
    assert {row["adapter_hash"] for row in whole.rollouts(1).to_pylist()} == {started["hash"]}
    assert started["hash"] not in {row["adapter_hash"] for row in earlier.rollouts(1).to_pylist()}
    cut = trained(tmp_path / "cut", init, "steps=1")
    shutil.rmtree(source)
    resumed = trained(tmp_path / "cut", init, "steps=2", resume=True)
    assert lines(resumed) == lines(whole)
    names = ("step-00002/adapter_model.safetensors",)
    one, other = ([(run.path / "checkpoints" / name).read_bytes() for name in names] for run in (cut, whole))
    assert one == other


@pytest.mark.slow
def test_the_optimiser_starts_anew(earlier, tmp_path):
    run = trained(tmp_path / "run", f"lora.init={earlier.path}", "steps=1", "optim.warmup_steps=1")
    assert run.metrics().to_pylist()[1]["learner/lr"] == pytest.approx(recipe().optim.lr / 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["lora.rank=8"], "the adapter has r=16, the recipe lora.rank=8; set lora.rank=16"),
        (["lora.alpha=1"], "the recipe lora.alpha=1; set lora.alpha="),
        (["model.path=elsewhere/other"], "the recipe has model.path=elsewhere/other; where both are the same"),
    ],
)
def test_an_adapter_of_another_scale_or_base_is_refused(earlier, overrides, said):
    asked = recipe(f"lora.init={earlier.path}", *overrides)
    with pytest.raises(ConfigError) as caught:
        initial_adapter(asked, asked.model.path)
    assert said in str(caught.value)


def test_what_is_no_adapter_is_named(run, tmp_path):
    (tmp_path / "recipe.yaml").touch()
    for place, said in (
        (tmp_path / "nowhere", "there is no such folder"),
        (tmp_path, "is a run without a checkpoint; train it further, or name an adapter"),
    ):
        code, _, err = run("train", "countdown", *SMALL, f"lora.init={place}", "--out", tmp_path / "out")
        assert (code, len(err.splitlines())) == (2, 1)
        assert said in err


def test_every_tensor_arrives_and_another_shape_is_named(tiny_model_folder, tmp_path):
    base = ModelSource(str(tiny_model_folder), "float32", 64)
    settings = recipe().lora
    first = attach(load_base(base), settings, seed=1)
    save(first, tmp_path / "adapter")
    second = attach(load_base(base), settings, seed=2)
    assert export(second).hash != export(first).hash
    start_from(second, tmp_path / "adapter")
    assert export(second).hash == export(first).hash
    narrow = attach(load_base(base), settings.model_copy(update={"expert_rank": 2}), seed=1)
    with pytest.raises(ConfigError, match=r"is no adapter for this recipe: .*experts.* there and \(.*\) here"):
        start_from(narrow, tmp_path / "adapter")
    attention = attach(load_base(base), settings.model_copy(update={"targets": "attention"}), seed=1)
    with pytest.raises(ConfigError, match=r"experts.* there and absent here"):
        start_from(attention, tmp_path / "adapter")


def test_a_pipe_in_the_place_of_the_weights_is_not_waited_for(make_policy, tmp_path):
    os.mkfifo(tmp_path / "adapter_model.safetensors")
    with pytest.raises(ConfigError, match=r"adapter_model\.safetensors cannot be read: .*it is no regular file"):
        start_from(make_policy(), tmp_path)
