"""Every shipped recipe runs, two steps on a tiny model in the place of its base, through vLLM."""

import json
import re

import pytest
from support.commands import errors
from transformers import AutoConfig

from doubleback.recipes.models.configuration import configuration, described_configuration, described_models
from doubleback.recipes.models.table import shipped_models
from doubleback.recipes.recipe.loading import load_recipe, shipped
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.recipe.tiny import make_tiny
from doubleback.rl.types import ModelSource

PUBLISHED = {  # parameters, billions, as the model cards state them
    "HuggingFaceTB/SmolLM2-135M-Instruct": 0.135,
    "Qwen/Qwen3-30B-A3B": 30.5,
    "Qwen/Qwen3-30B-A3B-Base": 30.5,
    "allenai/OLMoE-1B-7B-0125": 6.92,
    "allenai/OLMoE-1B-7B-0125-Instruct": 6.92,
    "deepseek-ai/DeepSeek-V2-Lite": 15.7,
    "deepseek-ai/DeepSeek-V2-Lite-Chat": 15.7,
    "ibm-granite/granite-3.1-1b-a400m-base": 1.33,
    "ibm-granite/granite-3.1-1b-a400m-instruct": 1.33,
    "ibm-granite/granite-3.1-3b-a800m-base": 3.30,
    "ibm-granite/granite-3.1-3b-a800m-instruct": 3.30,
    "ibm-granite/granite-3.2-2b-instruct": 2.53,
    "ibm-granite/granite-4.0-micro": 3.40,
    "ibm-granite/granite-4.1-3b": 3.40,
    "openai/gpt-oss-20b": 20.9,
}
SMALL = ["tiny=true", "steps=2", "rollout.prompts_per_step=2", "sampling.group_size=2", "sampling.max_tokens=32"]
SMALL += ["reward.components.overlong.args.buffer=8", "model.max_length=512", "eval.n=1", "eval.k=[1]"]
SMALL += ["eval.validation_n=1", "eval.validation_problems=2", "eval.test_problems=2", "engine.kv_cache_mib=64"]
OTHERS = [name for name in shipped_models() if name != "olmoe-1b-7b"]
"""Models of the table that gsm8k does not take by itself."""
TWINS = {
    "granite-3.1-1b-a400m-instruct": "granite-3.1-1b-a400m",
    "granite-3.1-3b-a800m": "granite-3.1-1b-a400m",
    "granite-3.1-3b-a800m-instruct": "granite-3.1-1b-a400m",
    "granite-3.2-2b-instruct": "granite-4.1-3b",
    "qwen3-30b-a3b-instruct": "qwen3-30b-a3b",
    "olmoe-1b-7b-instruct": "olmoe-1b-7b",
    "deepseek-v2-lite-chat": "deepseek-v2-lite",
}
"""Model -> one with the same layers, which goes through vLLM for both; its own tokens and prompts need no vLLM."""
ALONE = [(name, recipe) for name in shipped() if isinstance(recipe := load_recipe(name), Recipe)]
"""Recipes without stages: `tests/recipes/commands/stages/test_twins.py` runs the one that has some."""
TRAINED = [name for name, recipe in ALONE if recipe.kind != "sample"]
"""Recipes with steps."""
NAMES = ("Ann", "Ben", "Cy", "Dee", "Eli", "Fay", "Gus", "Hal")


@pytest.fixture
def word_problems(tmp_path):
    """Overrides that put self-made word problems in the place of a dataset on the hub."""
    files = {}
    for split, offset in (("train", 0), ("test", 100)):
        rows = [
            {
                "question": f"{name} has {3 + number + offset} pears and buys {number + 2} more. How many are there?",
                "answer": f"It is {3 + number + offset} + {number + 2}.\n#### {5 + 2 * number + offset}",
            }
            for number, name in enumerate(NAMES)
        ]
        files[split] = tmp_path / f"{split}.jsonl"
        files[split].write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = [f"task.{split}={path}" for split, path in files.items()]
    fields = ["task.question=question", "task.answer=answer", "task.gold_form=null", "task.level=null"]
    return [*task, *fields, "task.validation_problems=2"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "model"), [*((name, None) for name in TRAINED), *(("gsm8k", it) for it in OTHERS)])
def test_recipe_runs_two_steps_on_a_tiny_model(run, tmp_path, word_problems, name, model):
    chosen = [f"model={model}"] if model else []
    small = [item for item in SMALL if not item.startswith("engine.")] + ["engine.name=transformers"]
    of_math = word_problems if load_recipe(name).task.name == "math" else []
    overrides = [*chosen, *(small if model in TWINS else SMALL), *of_math]
    if name == "countdown-random-reward":
        overrides.remove("reward.components.overlong.args.buffer=8")
    code, out, err = run("train", name, *overrides, "--out", tmp_path / "run")
    assert code == 0, err
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert max(line["sync/max_abs"] for line in lines) < 1e-4
    step_completions = load_recipe(name, overrides).step_completions
    assert [line["rollout/num_completions"] for line in lines[1:]] == [step_completions] * 2
    base = load_recipe(name, chosen).model.path
    assert f"a tiny stand-in for {base}" in " ".join(out.split())
    tiny = AutoConfig.from_pretrained(tmp_path / "run" / "tiny")
    expected = "qwen3_moe" if base.startswith("bundled:") else described_configuration(base).model_type
    assert tiny.model_type == expected


def test_every_model_of_the_table_is_described():
    assert {load_recipe("gsm8k", [f"model={name}"]).model.path for name in shipped_models()} == set(described_models())


@pytest.mark.parametrize("path", described_models())
def test_descriptions_have_the_published_size(path):
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(configuration(path))
    assert model.num_parameters() / 1e9 == pytest.approx(PUBLISHED[path], rel=0.01)


def test_every_description_is_checked():
    assert set(described_models()) == set(PUBLISHED)


@pytest.mark.parametrize("path", described_models())
def test_a_tiny_model_is_small_and_of_the_same_architecture(tmp_path, path):
    import torch
    from transformers import AutoModelForCausalLM

    model = ModelSource(path, "bfloat16", 256)
    made = make_tiny(model, ["How many pears are there?"] * 3, 0, tmp_path / "tiny")
    assert (made.path, made.dtype, made.max_length) == (str(tmp_path / "tiny"), "float32", 256)
    tiny = AutoModelForCausalLM.from_pretrained(made.path)
    with torch.device("meta"):
        original = AutoModelForCausalLM.from_config(configuration(path))
    assert tiny.num_parameters() < 1_000_000
    names = {name.split(".", 3)[-1] for name, _ in original.named_parameters()}
    assert {name.split(".", 3)[-1] for name, _ in tiny.named_parameters()} == names
    again = make_tiny(model, ["other"], 0, tmp_path / "tiny")
    assert again == made


def test_an_unreachable_hub_is_one_line_with_the_way_out(run):
    code, _, err = run("check", "gsm8k")
    assert code == 2
    (line,) = errors(err)
    assert re.match(r"error: openai/gsm8k@[0-9a-f]{40}:main:train is no file or folder here, and on the hub it", line)
    assert "give a file: task.train=FILE, or write OWNER/NAME:CONFIG:SPLIT" in line


def test_a_tiny_model_of_a_described_base_asks_no_hub(tmp_path, monkeypatch):
    import transformers

    def only_here(path, **options):
        assert options.get("local_files_only"), f"the hub was asked for {path}"
        raise OSError("not in the cache")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", only_here)
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", only_here)
    for name in described_models():
        model = ModelSource(name, "float32", 512)
        assert make_tiny(model, ["How many pears are there?"] * 3, 0, tmp_path / name).path == str(tmp_path / name)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task.train=hub:openai/gsm8k"], "hub:openai/gsm8k: write it without hub:, as openai/gsm8k:main:train"),
    ],
)
def test_mistakes_in_the_task_are_named(run, word_problems, overrides, message):
    code, _, err = run("check", "gsm8k", *SMALL, *word_problems, *overrides)
    assert code == 2
    assert message in err


def test_a_prompt_for_chat_models_is_named_where_there_is_no_template(run, word_problems, text_model):
    own = [item for item in SMALL if item not in ("tiny=true", "engine.kv_cache_mib=64")]
    model = [f"model.path={text_model['none']}", "model.dtype=float32", "engine.name=transformers"]
    code, _, err = run("check", "gsm8k", *own, *model, *word_problems, "task.prompt=r1")
    assert code == 2
    message = "task.prompt=r1 is for chat models, and the tokenizer of model.path has no chat template; take a prompt"
    assert any(message in line for line in errors(err))


@pytest.mark.slow
def test_a_base_that_cannot_fit_is_refused_before_it_is_loaded(run, monkeypatch):
    from doubleback.recipes.recipe import assembly

    monkeypatch.setattr(assembly, "free_memory", lambda: 1 << 20)
    code, _, err = run("check", "countdown", "engine.name=transformers")
    assert code == 2
    (line,) = errors(err)
    assert line.startswith("error: model.path=bundled:countdown does not fit: ")
    assert "of 0.0 GiB; 2 copies of the base" in line


def test_memory_needs_no_weights(run):
    code, out, _ = run("check", "gsm8k", "--memory")
    found = " ".join(out.split())
    assert code == 0
    assert "allenai/OLMoE-1B-7B-0125: 6,919,161,856 parameters, bfloat16" in found
    assert "adapter 37,748,736 parameters, rank 32, experts 4 (rank 32 // 8 active experts)" in found
