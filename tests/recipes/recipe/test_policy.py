"""Which policy a name stands for, and what is refused before anything is loaded."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from doubleback.eval.show.console import Console
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.recipe.policy import Policy, engine_settings, find_policy, merge_policy
from doubleback.rewards.types import ConfigError
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.policy import merged_checkpoint
from doubleback.rl.run.manifest import write_manifest
from doubleback.rl.run.names import step_of

ENGINE = EngineConfig()


@pytest.fixture
def make_run(tmp_path):
    """A run's folder with checkpoints of these steps, whose files are empty."""

    def make(*steps, overrides=()):
        recipe = load_recipe("countdown", list(overrides))
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
        for step in steps:
            folder = tmp_path / "checkpoints" / step
            folder.mkdir(parents=True)
            for name in ("adapter_model.safetensors", "adapter_config.json"):
                (folder / name).touch()
            write_manifest(folder, step_of(step))
        return tmp_path

    return make


def find(model, **options):
    return find_policy(
        str(model), **{"adapter": None, "endpoint": None, "engine": ENGINE, "dtype": "bfloat16", **options}
    )


def test_a_run_is_its_newest_whole_checkpoint_on_its_own_base(make_run):
    run = make_run("step-00009", "step-00010", "step-00011.tmp")
    newest = run / "checkpoints" / "step-00010"
    assert replace(find(run), recipe=None) == Policy("bundled:countdown", newest, "float32", ENGINE, None)
    assert find(run, adapter=run / "checkpoints").adapter == run / "checkpoints"
    with pytest.raises(ConfigError, match="--adapter mine: there is no such folder"):
        find(run, adapter=Path("mine"))


def test_a_checkpoint_is_named_by_its_step_or_as_the_best(make_run):
    """The third step was the best, the fourth undefined."""
    run = make_run("step-00003", "step-00005", overrides=["checkpoint.best=eval/validation/pass@1"])
    values = {0: 0.9, 2: 0.3, 3: 0.6, 4: None, 5: 0.5}
    lines = [{"step": step, "eval/validation/pass@1": value} for step, value in values.items()]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert find(run, checkpoint="best").adapter == find(run, checkpoint="3").adapter == run / "checkpoints/step-00003"
    assert find(run).adapter == find(run, checkpoint="5").adapter == run / "checkpoints/step-00005"
    for checkpoint, said in (
        ("4", "none of step 4; it has those of: 3, 5"),
        ("last", "--checkpoint last: give best, or a step"),
    ):
        with pytest.raises(ConfigError, match=said):
            find(run, checkpoint=checkpoint)
    with pytest.raises(ConfigError, match="--checkpoint 3 is one of a run, and someone/base is none"):
        find("someone/base", checkpoint="3")


def test_no_best_is_marked_unless_the_recipe_asks(make_run):
    with pytest.raises(ConfigError, match=r"marked none; train with checkpoint.best=eval/validation/pass@1"):
        find(make_run("step-00001"), checkpoint="best")


def test_a_tiny_run_is_on_the_tiny_model_that_it_kept(make_run):
    run = make_run("step-00001", overrides=["tiny=true", "model.dtype=bfloat16"])
    assert (find(run).model, find(run).dtype) == (str(run / "tiny"), "float32")


def test_what_is_no_run_is_a_model_as_it_is_named():
    assert find("someone/base", dtype="float32") == Policy("someone/base", None, "float32", ENGINE, None)


def test_what_cannot_be_measured_is_named(make_run):
    run = make_run()
    with pytest.raises(ConfigError, match="is a run without a checkpoint; train it further, or give --adapter DIR"):
        find(run)
    with pytest.raises(ConfigError, match="--dtype float16: choose float32 or bfloat16"):
        find(run, dtype="float16")
    (run / "recipe.yaml").write_text("steps: [")
    with pytest.raises(ConfigError, match=r"recipe .*recipe\.yaml is not YAML"):
        find(run)


def test_options_of_an_engine_that_does_not_read_them_are_refused():
    assert engine_settings("vllm", 512) == EngineConfig(kv_cache_mib=512)
    with pytest.raises(ConfigError, match=r"--engine transformers: engine\.kv_cache_mib=512 has no effect"):
        engine_settings("transformers", 512)


def test_a_merge_that_fails_leaves_no_folder(tmp_path, monkeypatch):
    def half(path, adapter, out, dtype):
        (out / "config.json").write_text("{}")
        raise ConfigError("the adapter does not fit")

    monkeypatch.setattr(merged_checkpoint, "merge_checkpoint", half)
    policy = Policy("bundled:countdown", tmp_path / "adapter", "float32", ENGINE, None)
    with pytest.raises(ConfigError, match="does not fit"):
        merge_policy(policy, None, tmp_path / "merged", Console(file=io.StringIO()))
    assert list(tmp_path.iterdir()) == []
