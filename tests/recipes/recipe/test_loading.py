"""A recipe is right, or every finding is one line that names key, value and way out."""

import subprocess
import sys
from copy import deepcopy
from functools import cache
from importlib.metadata import entry_points

import pytest
import yaml
from pydantic import BaseModel

from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.recipe.loading import load_recipe, shipped
from doubleback.recipes.recipe.schema import Recipe
from doubleback.rewards.settings import LARGEST, override, read_yaml, validated
from doubleback.rewards.types import ConfigError
from doubleback.rl.objective.config import AlgorithmConfig


def findings(name="countdown", *overrides):
    with pytest.raises(ConfigError) as caught:
        load_recipe(name, overrides)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_recipe_is_valid(name):
    recipe = load_recipe(name)
    whole = [recipe] if isinstance(recipe, Recipe) else [stage.recipe for stage in recipe.stages]
    assert all(bundled_path(it.model.path) for it in whole)


def test_what_a_run_of_a_published_model_writes_down_is_read_again(tmp_path):
    """Its hub id, which is nearly a name of the table, is no misspelt one."""
    recipe = load_recipe("chain-sum")
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
    assert load_recipe(str(path)) == recipe


def test_what_a_model_asks_of_the_algorithm_is_for_kinds_that_sample_what_they_learn_from():
    model = "model=granite-3.1-1b-a400m"
    assert load_recipe("countdown", [model]).algorithm.routing_replay
    assert not load_recipe("countdown-sft", [model]).algorithm.routing_replay
    assert load_recipe("countdown-sample", [model]).algorithm == AlgorithmConfig()


def test_overrides_are_typed_yaml():
    recipe = load_recipe("countdown", ["optim.lr=2e-4", "seed=7", "algorithm.importance_cap=null", "eval.k=[1,2]"])
    assert recipe.optim.lr == pytest.approx(2e-4)
    assert (recipe.seed, recipe.algorithm.importance_cap, recipe.eval.k) == (7, None, [1, 2])


def test_a_component_is_overridden_whether_the_file_has_a_number_or_a_section():
    items = ["reward.components.format.weight=0.1", "reward.components.overlong=0.5"]
    components = load_recipe("countdown", items).reward.components
    assert components["format"].weight == 0.1
    assert (components["overlong"].weight, components["overlong"].args) == (0.5, {"buffer": 64})
    assert findings("countdown", "reward.components.format.wieght=1") == [
        "reward.components.format.wieght: there is no such key; did you mean weight?"
    ]


def test_a_preset_fills_in_its_keys_and_explicit_ones_win():
    recipe = load_recipe("countdown", ["algorithm.preset=gspo", "algorithm.clip_high=0.001"])
    algorithm = recipe.algorithm
    assert (algorithm.ratio, algorithm.clip_low, algorithm.clip_high) == ("sequence", 3e-4, 0.001)
    assert recipe.model_dump()["algorithm"]["normaliser"] == "sequence"


def test_what_lags_is_clipped_against_the_sampler_unless_the_recipe_says_otherwise():
    ahead = "rollout.ahead=true"
    assert load_recipe("countdown").algorithm.old_logprobs == "trainer"
    assert load_recipe("countdown", [ahead]).algorithm.old_logprobs == "sampler"
    assert load_recipe("countdown", [ahead, "algorithm.old_logprobs=trainer"]).algorithm.old_logprobs == "trainer"
    with pytest.raises(ConfigError, match=r"importance=token_mask has no effect with algorithm\.old_logprobs=sampler"):
        load_recipe("countdown", [ahead, "algorithm.importance=token_mask"])


def test_contradictions_of_algorithm_and_problems_come_in_one_line_each():
    overrides = [
        "algorithm.preset=cispo",
        "algorithm.dual_clip=7",
        "algorithm.entropy_max=2",
        "problems.promote_at=0.5",
    ]
    assert findings("countdown", *overrides) == [
        "algorithm.dual_clip=7.0 has no effect with algorithm.surrogate=cispo; "
        "leave it at null or set surrogate to clipped",
        "algorithm.entropy_max=2.0 has no effect with algorithm.entropy_target=null; "
        "leave it at 1.0 or set entropy_target to a number",
        "problems.promote_at=0.5 has no effect with problems.level=null; "
        "leave it at 0.6 or set level to a column of the problems",
    ]


def test_unknown_preset_suggests_the_nearest():
    assert findings("countdown", "algorithm.preset=dapu") == [
        "algorithm.preset='dapu' is not a preset; did you mean dapo?"
    ]


def test_unknown_recipe_suggests_the_nearest():
    assert findings("countdwn") == ["recipe 'countdwn' is no YAML file and not shipped; did you mean countdown?"]


def test_missing_file_is_named():
    assert findings("nowhere/mine.yaml") == ["recipe nowhere/mine.yaml: there is no such file"]


def test_all_findings_come_at_once():
    assert sorted(findings("countdown", "optim.lrr=1", "sampling.group_size=1", "steps=many")) == [
        "optim.lrr: there is no such key; did you mean lr?",
        "sampling.group_size=1: input should be greater than or equal to 2",
        "steps='many': input should be a valid integer",
    ]


def test_unknown_section_suggests_the_nearest():
    assert findings("countdown", "optimm.lr=1") == ["optimm: there is no such key; did you mean optim?"]


def test_cross_field_check_names_both_keys():
    assert findings("countdown", "sampling.max_tokens=400") == [
        "sampling.max_tokens=400 leaves no room for a prompt in model.max_length=256; "
        "lower the first or raise the second"
    ]


def test_k_beyond_n_is_refused():
    assert findings("countdown", "eval.n=8") == ["eval.k=16 must be from 1 to eval.n=8; drop it or raise eval.n"]


def test_a_schedule_needs_steps_behind_the_warm_up():
    (line,) = findings("countdown", "steps=3", "optim.schedule=cosine", "optim.warmup_steps=3")
    assert line.startswith("optim.warmup_steps=3 leaves no step of steps=3 in which optim.schedule=cosine could fall")


EXTREMES = [0, -1, 5e-324, 1e300, -1e300, 10**30, -(10**30), 10**400, [1e300, 1e300], [10**30]]
"""What no float32 holds, no clock and no memory: each is a number that somebody may type."""


def leaves(section, prefix=""):
    """The keys of all values in a recipe."""
    for name, value in section.items() if isinstance(section, dict) else section:
        if isinstance(value, BaseModel | dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_a_number_however_large_or_small_is_taken_or_refused_in_a_line(monkeypatch):
    # Looked up for each recipe that is read, which takes nearly all of the time that one takes.
    monkeypatch.setattr("doubleback.rewards.contract.lookup.entry_points", cache(entry_points))
    stored = read_yaml(shipped()["countdown"], "recipe")
    for key in leaves(load_recipe("countdown")):
        if ".args." in key:
            continue  # of the function, which may take any
        for value in EXTREMES:
            try:
                validated(Recipe, override(deepcopy(stored), {key: value}))
            except ConfigError as error:
                lines = str(error).splitlines()
                assert len(lines) == (len(value) if isinstance(value, list) and key in LISTS else 1), lines
                assert key.rpartition(".")[2] in lines[0]
                assert len(lines[0]) < 500
            else:
                assert isinstance(value, int | float), key
                assert abs(value) <= LARGEST, key


LISTS = {"tags", "trackers", "sampling.stop", "reward.environment", "eval.suites", "eval.k"}
"""Keys with a finding for each item."""


def test_sizes_that_no_step_and_no_engine_can_have_are_refused():
    assert findings("countdown", "sampling.temperature=0.009") == [
        "sampling.temperature=0.009: input should be greater than or equal to 0.01"
    ]
    assert findings("countdown", "rollout.prompts_per_step=200000") == [
        "rollout.prompts_per_step=200000 * sampling.group_size=16 are 3,200,000 completions a step, which holds "
        "1,048,576 at most; lower one of the two"
    ]
    assert findings("countdown", "optim.microbatch_tokens=0") == [
        "optim.microbatch_tokens=0: input should be greater than or equal to 1 or input should be 'auto'"
    ]


def test_override_without_value_is_explained():
    assert findings("countdown", "optim.lr") == ["override 'optim.lr': write it as key.path=value"]


def test_override_through_a_value_is_explained():
    assert findings("countdown", "steps.more=1") == ["override 'steps.more=1': steps is a value, not a section"]


def test_absent_keys_are_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("description: mine\n")
    assert findings(str(path)) == [
        f"{key}: this key is required and absent" for key in ("steps", "model", "task", "reward")
    ]


def test_broken_yaml_is_one_line(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("steps: [1\n")
    (line,) = findings(str(path))
    assert line.startswith(f"recipe {path} is not YAML:")


def test_unknown_base_suggests_the_nearest():
    with pytest.raises(ConfigError, match=r"model.path=bundled:countdwn: no such base; did you mean countdown\?"):
        bundled_path("bundled:countdwn")


@pytest.mark.slow
def test_front_door_is_light():
    """--help and the validation of a recipe import neither torch nor vllm nor matplotlib."""
    code = (
        "import sys, doubleback.recipes.commands.cli; from doubleback.recipes.recipe.loading import load_recipe; "
        "load_recipe('countdown'); "
        "print([name for name in ('torch', 'vllm', 'transformers', 'matplotlib') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("optim.prompts_per_step=4", "rollout.prompts_per_step"),
        ("algorithm.max_rounds=2", "rollout.max_rounds"),
        ("engine.overlap=true", "rollout.ahead"),
        ("engine.max_lag=1", "rollout.max_lag"),
    ],
)
def test_a_key_that_has_moved_is_named_with_its_place(old, new):
    (line,) = findings("countdown", old)
    assert line.startswith(old.partition("=")[0])
    assert line.endswith(f" is {new} now; write it there")


def test_rounds_that_replace_what_is_kept_are_refused():
    (line,) = findings("countdown", "rollout.max_rounds=5", "algorithm.drop_zero_variance=false")
    assert "rollout.max_rounds=5 replaces the groups that algorithm.drop_zero_variance=false keeps" in line


def test_a_preset_says_its_rounds_and_the_recipe_wins():
    assert load_recipe("countdown").rollout.max_rounds == 1
    assert load_recipe("countdown", ["algorithm.preset=dapo"]).rollout.max_rounds == 10
    assert load_recipe("countdown", ["algorithm.preset=dapo", "rollout.max_rounds=3"]).rollout.max_rounds == 3


@pytest.mark.parametrize("preset", ["dapo", "grpo"])
def test_a_value_in_the_place_of_a_section_is_named(preset):
    (line,) = findings("countdown", f"algorithm.preset={preset}", "rollout=5")
    assert line.startswith("rollout=5: input should be")


def test_a_model_of_the_table_says_where_a_recipe_on_it_starts_and_the_recipe_wins():
    recipe = load_recipe("gsm8k", ["model=granite-3.1-3b-a800m", "engine.kv_cache_mib=512"])
    assert recipe.model.path == "ibm-granite/granite-3.1-3b-a800m-base"
    assert (recipe.model.dtype, recipe.model.max_length) == ("bfloat16", 2048)
    assert (recipe.task.prompt, recipe.algorithm.routing_replay, recipe.engine.kv_cache_mib) == ("r1_zero", True, 512)
    assert load_recipe("math").model.max_length == 4096
    assert load_recipe("math", ["model=granite-3.1-1b-a400m"]).model.max_length == 4096
    assert load_recipe("gsm8k", ["model=some/base"]).model.path == "some/base"
    assert load_recipe("countdown", ["model.path=gpt2"]).model.path == "gpt2"


def test_a_model_is_one_word_in_a_file_too(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "description: d\nsteps: 1\nmodel: olmoe-1b-7b\ntask: {name: countdown}\nreward: {components: {countdown: 1}}\n"
    )
    recipe = load_recipe(str(tmp_path / "mine.yaml"), ["model.max_length=512"])
    assert (recipe.model.path, recipe.model.max_length) == ("allenai/OLMoE-1B-7B-0125", 512)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("olmoe-1b-7b-gsm8k",), "recipe olmoe-1b-7b-gsm8k is gsm8k with another base now: gsm8k model=olmoe-1b-7b"),
        (("olmoe-1b-7b-math",), "recipe olmoe-1b-7b-math is math with another base now: math model=olmoe-1b-7b"),
        (
            ("gsm8k", "model=olmoe-1b-7"),
            "model.path=olmoe-1b-7 is neither in the table of models nor a folder; did you mean olmoe-1b-7b?",
        ),
    ],
)
def test_old_names_and_misspelt_models_are_told_the_new_or_nearest(arguments, line):
    assert findings(*arguments) == [line]
