"""The card says what the run wrote down, number by number, and names what it did not measure."""

import json
import re

import pytest
import yaml
from huggingface_hub import ModelCard

from doubleback.recipes import push
from doubleback.recipes.publish.base import base_of
from doubleback.recipes.publish.facts import read_facts
from doubleback.recipes.publish.unmeasured import unmeasured
from doubleback.recipes.recipe.loading import load_recipe


@pytest.fixture
def carded(run_folder, tmp_path):
    """The card of the run as it is now, and what else was written."""

    def make(**options):
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        push(run_folder, "ann/backtracker", out=out, **options)
        return ModelCard((out / "README.md").read_text()), out

    return make


def section(card, title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", card.text, re.MULTILINE | re.DOTALL)[1]


def test_pass_rates_before_and_after_stand_with_their_intervals(carded, run_folder):
    """Of six problems five were right once in four samples, then three times; the last always: .375 and .792."""
    card, out = carded()
    rates = section(card, "How good it is")
    before, after = (json.loads((run_folder / f"eval/test-step-0000{step}.json").read_text()) for step in (0, 4))
    shown = [
        f"{value:.3f} [{it['pass_at_k']['1']['low']:.3f}, {it['pass_at_k']['1']['high']:.3f}]"
        for it, value in ((before, 0.375), (after, 19 / 24))
    ]
    assert "### test: 6 problems x 4 samples" in rates
    assert f"| pass@1 | {shown[0]} | {shown[1]} | +0.417 |" in rates
    assert re.search(r"### validation: 6 problems x 4 samples\n\n\| measure \| step 0 \|\n", rates)
    (model,) = card.data.eval_results[:1]
    assert (model.metric_type, model.metric_value) == ("pass@1", 0.7917)
    assert json.loads((out / "results.json").read_text())["test"] == {"before": before, "after": after}


def test_data_recipe_seed_cost_and_versions_are_the_runs(carded):
    """Steps after the checkpoint cost nothing of it: four of 1,000 tokens and half a minute each."""
    card, out = carded()
    made = section(card, "How it was made")
    assert f"| the set of test problems | 6 problems (SHA-256 `{'d' * 64}`) |" in made
    assert f"| task.prompt=asks.yaml | SHA-256 `{'e' * 64}` |" in made
    assert re.search(rf"\| `tiny\d*/config.json` \| SHA-256 `{'c' * 64}` \|", made)
    assert "4 steps of 256 completions; 4,000 sampled tokens, 2.0 minutes," in made
    assert "on Linux-6.1, threads: 2" in made
    assert "differed by 2.0e-06 nats at most" in made
    assert "**Versions:** Python 3.11.9, torch 2.13.0." in made
    assert "**Seed:** 7," in made
    changed = yaml.safe_load(re.search(r"```yaml\n(.*?)```", made, re.DOTALL)[1])
    assert changed["optim"] == {"lr": 3e-4, "max_grad_norm": 0.005}
    assert changed["reward"]["components"]["format"] == {"weight": 0.2}
    assert {"trainer", "checkpoint", "algorithm"} & changed.keys() == set()
    whole = yaml.safe_load((out / "recipe.yaml").read_text())
    assert whole["trainer"] == "doubleback"
    assert load_recipe(str(out / "recipe.yaml"), ["model.path=bundled:countdown"]).seed == 7


def test_what_was_not_measured_is_named(carded, run_folder):
    said = section(carded()[0], "What was not measured")
    assert "**validation after training:** the run has no evaluation of step 4." in said
    assert "**test after" not in said
    assert "**Other seeds:** this is one run, with seed 7;" in said
    assert "**pass@k of test beyond k = 4:**" in said
    assert "**The data's hashes:**" not in said
    for name in ("eval/test-step-00004.json", "eval/test-step-00000.json", "inputs.json"):
        (run_folder / name).unlink()
    said = section(carded()[0], "What was not measured")
    assert "**test after training:** the run has no evaluation of step 4." in said
    assert "**test before training:** the run has no evaluation of step 0." in said
    assert "**The data's hashes:** the run did not write them down." in said


def test_what_flatters_or_fails_a_figure_is_named(run_folder):
    path = run_folder / "eval" / "test-step-00004.json"
    found = json.loads(path.read_text())
    found["pass_at_k"]["1"] |= {"low": None, "high": None}
    found["unusable_rate"]["value"] = 0.25
    path.write_text(json.dumps(found))
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    best = {3: 0.2, 4: 0.5}
    lines = [line | {"eval/validation/pass@1": best.get(line["step"])} for line in lines]
    (run_folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    settings = ["checkpoint.best=eval/validation/pass@1", "lora.init=earlier", "tiny=true"]
    facts = read_facts(run_folder, load_recipe("countdown", settings), run_folder / "checkpoints" / "step-00004", None)
    said = unmeasured(facts, None)
    for start in (
        "**An interval for test:**",
        "**25.0% of the samples of test:**",
        "**eval/validation/pass@1 of a step that it did not choose:**",
        "**The bare base:**",
        "**Anything of worth:**",
    ):
        assert len([line for line in said if line.startswith(start)]) == 1, start


def test_metadata_says_what_it_is_and_no_more_than_is_known(carded):
    data = carded()[0].data.to_dict()
    assert (data["library_name"], data["pipeline_tag"]) == ("peft", "text-generation")
    assert {"doubleback", "grpo", "lora"} <= set(data["tags"])
    assert {"base_model", "license", "datasets"} & data.keys() == set()


COMMIT = {"model.path=someone/base": "commit abc123"}


@pytest.mark.parametrize(
    ("path", "given", "inputs", "found"),
    [
        ("someone/base", None, COMMIT, ("someone/base", "someone/base", "abc123", None)),
        ("someone/base", None, {}, ("someone/base", "someone/base", None, None)),
        ("bundled:countdown", None, {}, ("bundled:countdown", None, None, "mit")),
        ("/cache/models--ann--my-moe/snapshots/d00d", None, {}, ("ann/my-moe", "ann/my-moe", "d00d", None)),
        ("/home/ann/base", None, {}, ("base", None, None, None)),
        ("/home/ann/base", "ann/base", {}, ("ann/base", "ann/base", None, None)),
        ("models/base/v2", None, {}, ("v2", None, None, None)),
    ],
)
def test_which_published_model_a_base_is(path, given, inputs, found):
    base = base_of(path, given, inputs)
    assert (base.label, base.hub_id, base.commit, base.licence) == found


def test_a_folder_that_is_here_is_no_hub_id(tmp_path, monkeypatch):
    (tmp_path / "someone" / "base").mkdir(parents=True)
    (tmp_path / "someone" / "base" / "README.md").write_text("---\nlicense: apache-2.0\n---\nA base.\n")
    monkeypatch.chdir(tmp_path)
    base = base_of("someone/base", None, {})
    assert (base.label, base.hub_id, base.licence) == ("base", None, "apache-2.0")


def test_a_data_set_of_the_table_brings_its_licence_and_its_faults(carded, run_folder):
    assert "**Questions:**" not in carded()[0].text
    recipe = load_recipe("gsm8k", ["model=olmoe-1b-7b", "data=svamp"]).model_dump(mode="json")
    (run_folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    made = section(carded()[0], "How it was made")
    assert "**Questions:** SVAMP: one-step word problems" in made
    assert "Licence: MIT; the 700 and 300 are the hub's division" in made


def test_data_sets_of_the_hub_are_named_and_files_are_not(run_folder):
    def datasets(*settings):
        recipe = load_recipe("gsm8k", ["model=olmoe-1b-7b", *settings])
        return read_facts(run_folder, recipe, run_folder / "checkpoints" / "step-00004", None).datasets

    assert datasets() == ["openai/gsm8k"]
    assert datasets("data=svamp") == ["ChilleD/SVAMP"]
    assert datasets("task.train=[ann/sums:main:train,data/rows.jsonl]", "task.test=0.1") == ["ann/sums"]
    inputs = json.loads((run_folder / "inputs.json").read_text())
    (run_folder / "inputs.json").write_text(json.dumps({**inputs, "task.train=ann/sums": "SHA-256 f"}))
    assert datasets("task.train=ann/sums", "task.test=0.1") == []
