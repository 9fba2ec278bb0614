"""What a resumed run may change: settings by a mark beside the key; data, model, prompt and code not, by hash."""

import hashlib
import json
import re
import shutil
from types import SimpleNamespace

import pytest
from support.commands import errors
from support.paths import ROOT

from doubleback.recipes.recipe.inputs import changed_settings, inputs, require_same_inputs
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.recipe.origin import software
from doubleback.recipes.tasks.task import Splits
from doubleback.rewards.types import ConfigError, Problem
from doubleback.rl.types import ModelSource


def differing(*overrides, before=("steps=4",)):
    return changed_settings(
        load_recipe("countdown", before).model_dump(mode="json"), load_recipe("countdown", overrides)
    )


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "optim.microbatch_tokens=4096",
            r"is 4096 from now on, it was 'auto' \(the same sums in another order: last bits",
        ),
        ("optim.logits_mib=64", r"is 64 from now on, it was 256 \(the same sums in another order: last bits differ\)"),
        ("optim.gradient_checkpointing=true", "is True from now on, it was False"),
        ("engine.kv_cache_mib=64", "is 64 from now on, it was 'auto'"),
        ("engine.max_num_seqs=16", r"is 16 from now on, it was \d+ \(batches of another size: last bits may differ\)"),
        ("checkpoint.every=3", r"is 3 from now on, it was \d+"),
        ("checkpoint.keep=9", "is 9 from now on, it was 2"),
        ("eval.every=3", r"is 3 from now on, it was \d+"),
        ("trackers=[tensorboard]", r"is \['tensorboard'\] from now on, it was \[\]"),
        ("reward.workers=2", "is 2 from now on, it was 1"),
        ("steps=5", "is 5 from now on, it was 4"),
    ],
)
def test_what_changes_no_result_may_change_and_is_said(override, said):
    (line,) = differing("steps=4", override)
    assert line.startswith(f"--resume: {override.partition('=')[0]} is ")
    assert re.search(said, line)


@pytest.mark.parametrize(
    "override",
    ["optim.lr=1e-9", "steps=3", "seed=1", "sampling.temperature=0.5", "reward.components.format.weight=0.7"],
)
def test_what_changes_the_result_is_refused(override):
    key, _, value = override.partition("=")
    with pytest.raises(
        ConfigError, match=rf"^--resume: {key} is {value.replace('1e-9', '1e-09')}, the run has .*; put it"
    ):
        differing("steps=4", override)


def test_a_key_that_the_run_did_not_know_yet_has_not_changed_where_it_is_at_its_default():
    older = load_recipe("countdown", ["steps=4"]).model_dump(mode="json")
    del older["problems"], older["algorithm"]["kl_coef"]
    assert changed_settings(older, load_recipe("countdown", ["steps=4"])) == []
    with pytest.raises(ConfigError, match=r"^--resume: algorithm\.kl_coef is 0\.1, the run has None; put it back"):
        changed_settings(older, load_recipe("countdown", ["steps=4", "algorithm.kl_coef=0.1"]))


def test_a_component_that_the_run_did_not_have_is_a_change():
    older = load_recipe("countdown", ["steps=4"]).model_dump(mode="json")
    del older["reward"]["components"]["format"]
    with pytest.raises(
        ConfigError, match=r"^--resume: reward\.components\.format is \{.*the run has None; put it back"
    ):
        changed_settings(older, load_recipe("countdown", ["steps=4"]))


def test_every_difference_has_a_line():
    with pytest.raises(ConfigError) as caught:
        differing("steps=3", "seed=1", "eval.every=3")
    assert [line.split()[1] for line in str(caught.value).splitlines()] == ["seed", "steps"]
    assert differing("steps=4") == []


def test_when_checkpoints_decide_what_is_sampled_ahead_they_stay_where_they_are():
    ahead = ("steps=4", "rollout.ahead=true")
    with pytest.raises(
        ConfigError, match=r"^--resume: checkpoint\.every is 3, the run has 10, and with rollout\.ahead=True"
    ):
        differing(*ahead, "checkpoint.every=3", before=ahead)
    assert len(differing(*ahead, "checkpoint.keep=3", before=ahead)) == 1


def test_where_the_rate_falls_over_all_steps_no_more_are_added():
    falling = ("steps=4", "optim.schedule=cosine")
    with pytest.raises(ConfigError, match=r"^--resume: steps is 5, the run has 4, and with optim\.schedule=cosine the"):
        differing(*falling, "steps=5", before=falling)


def prepared(folder):
    """As `prepare` leaves it, with a model that is one file."""
    (folder / "base").mkdir()
    (folder / "base" / "config.json").write_text("{}")
    problems = [Problem("a", "1 + 1")]
    model = ModelSource(str(folder / "base"), "", 8)
    return SimpleNamespace(splits=Splits(problems, problems, problems), model=model, demonstrations={}, teacher=None)


def test_code_is_known_by_its_file_or_by_its_source(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("one = 1\n")
    (tmp_path / "package_of_mine").mkdir()
    (tmp_path / "package_of_mine" / "__init__.py").write_text("raise RuntimeError('not to be imported')")
    (tmp_path / "package_of_mine" / "inner.py").write_text("two = 2\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    of_files = {"math": 1.0, "a": {"function": "mine.py:one"}, "b": {"function": "package_of_mine.inner:two"}}
    recipe = load_recipe("gsm8k", {"reward.components": of_files, "task.prompt": "Q: a/b.c json:x {question}"})
    begun = inputs(recipe, prepared(tmp_path))
    keys = ["reward.components.a.function=mine.py:one", "reward.components.b.function=package_of_mine.inner:two"]
    hashes = [hashlib.sha256(text.encode()).hexdigest() for text in ("one = 1\n", "two = 2\n")]
    assert [begun[key] for key in keys] == [f"SHA-256 {value}" for value in hashes]
    assert not [key for key in begun if key.startswith("task.")]
    (tmp_path / "inputs.json").write_text(json.dumps(begun))
    require_same_inputs(tmp_path, begun)
    with pytest.raises(ConfigError, match=r"^--resume: reward\.components\.a\.function=mine\.py:one is not .* now"):
        require_same_inputs(tmp_path, {key: value for key, value in begun.items() if key != keys[0]})


def test_a_function_given_in_python_is_known_by_its_source(tmp_path):
    def first(completions, **kwargs):
        return [0.0 for _ in completions]

    def second(completions, **kwargs):
        return [1.0 for _ in completions]

    of_run = prepared(tmp_path)
    hashes = [
        inputs(load_recipe("gsm8k", {"reward.components": {"math": 1.0, "mine": function}}), of_run)
        for function in (first, second, first)
    ]
    name = "the code of reward.components.mine"
    assert hashes[0] == hashes[2] != hashes[1]
    assert hashes[0][name] != hashes[1][name]


def test_what_code_imports_from_its_folder_is_known_too(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("import json\nfrom lib.scale import half\nimport numpy\none = 1\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "scale.py").write_text("half = 0.5\n")
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("gsm8k", {"reward.components": {"math": 1.0, "a": {"function": "mine.py:one"}}})
    of_run = prepared(tmp_path)
    begun = inputs(recipe, of_run)
    place = "reward.components.a.function=mine.py:one"
    assert [key for key in begun if place in key] == [place, f"lib/scale.py, which {place} imports,"]
    (tmp_path / "inputs.json").write_text(json.dumps(begun))
    (tmp_path / "lib" / "scale.py").write_text("half = 0.6\n")
    with pytest.raises(ConfigError, match=rf"^--resume: lib/scale\.py, which {re.escape(place)} imports, is not what"):
        require_same_inputs(tmp_path, inputs(recipe, of_run))


def test_the_code_of_our_own_rewards_is_known_and_what_tries_rewards_out_is_not_of_it(tmp_path, monkeypatch):
    for folder in ("rewards", "recipes"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("bases", "__pycache__"))
    monkeypatch.setattr(software, "CODE", tmp_path)
    hashes = []
    for changed in (None, "hostile/cases.py", "answers/grade.py"):
        if changed is not None:
            with (tmp_path / "rewards" / changed).open("a") as file:
                file.write("# another byte\n")
        hashes.append(software.code_hash("rewards", but=("checks", "hostile")))
    assert hashes[0] == hashes[1] != hashes[2]


REWARD = """
from scale import LIMIT

def short(completions, **kwargs):
    return [float(len(text) < LIMIT) for text in completions]
"""
PROMPT = "kind: completion\nstyle: flexible\ndescription: the question\ntext: '{question}'\n"


def rows(path, numbers):
    path.write_text("".join(json.dumps({"question": f"1 {n} -> {n}", "answer": str(n)}) + "\n" for n in numbers))


@pytest.fixture
def own(tmp_path, tiny_model_folder, monkeypatch):
    """A folder with everything that a run of one's own names."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model_folder, tmp_path / "base")
    rows(tmp_path / "train.jsonl", range(1, 41))
    rows(tmp_path / "test.jsonl", range(50, 53))
    (tmp_path / "reward.py").write_text(REWARD)
    (tmp_path / "scale.py").write_text("LIMIT = 40\n")
    (tmp_path / "prompt.yaml").write_text(PROMPT)
    return tmp_path


OWN = "the code of doubleback's own rewards"
COMMAND = ["train", "gsm8k", "model.path=base", "model.dtype=float32", "model.max_length=128", "--out", "run"]
COMMAND += ["task.train=train.jsonl", "task.test=test.jsonl", "task.validation_problems=4", "task.prompt=prompt.yaml"]
COMMAND += ["reward.components={math: 1.0, mine: {function: 'reward.py:short', weight: 0.1}}", "reward.judge=math"]
COMMAND += ["rollout.prompts_per_step=2", "sampling.group_size=2", "sampling.max_tokens=16", "sync.num_canaries=1"]
COMMAND += ["eval.n=1", "eval.k=[1]", "eval.test_problems=2", "eval.validation_problems=2", "eval.validation_n=1"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_goes_on_with_what_it_began_with_alone(run, own):
    """In real vLLM: one run, then every input changed behind its back, then a resume that may be."""
    code, out, err = run(*COMMAND, "steps=1")
    assert code == 0, out + err
    changes = {
        "train.jsonl": lambda path: rows(path, range(1, 13)),
        "test.jsonl": lambda path: rows(path, (50, 51, 53)),
        "reward.py": lambda path: path.write_text(REWARD.replace("<", "<=")),
        "scale.py": lambda path: path.write_text("LIMIT = 30\n"),
        # What another version of doubleback would say.
        "run/inputs.json": lambda path: path.write_text(
            path.read_text().replace(OWN + '": "SHA-256 ', OWN + '": "SHA-256 0')
        ),
        "prompt.yaml": lambda path: path.write_text(PROMPT.replace("'{question}'", "'{question} '")),
        "base/config.json": lambda path: path.write_text(path.read_text() + "\n"),
    }
    said = {
        "train.jsonl": ["the set of train problems", "task.train=train.jsonl"],
        "test.jsonl": ["the set of test problems", "task.test=test.jsonl"],
        "reward.py": ["reward.components.mine.function=reward.py:short"],
        "scale.py": ["scale.py, which reward.components.mine.function=reward.py:short imports,"],
        "run/inputs.json": [OWN],
        "prompt.yaml": ["the set of train problems", "task.prompt=prompt.yaml"],
        "base/config.json": ["model.path=base/config.json"],
    }
    for name, change in changes.items():
        before = (own / name).read_text()
        change(own / name)
        code, _, err = run(*COMMAND, "steps=2", "--resume")
        (own / name).write_text(before)
        lines = errors(err)
        assert code == 2
        assert all(line.startswith("error: --resume: ") and " is not what the run began with" in line for line in lines)
        for words in said[name]:
            assert any(words in line for line in lines), (words, lines)
    environment = own / "run" / "environment.json"
    begun = environment.read_text().replace('"threads": ', '"threads": 9').replace(", code ", ", code 0")
    environment.write_text(begun)
    code, out, err = run(*COMMAND, "steps=2", "optim.microbatch_tokens=512", "engine.max_num_seqs=8", "--resume")
    assert code == 0, out + err
    text = " ".join(out.split())
    assert "--resume: optim.microbatch_tokens is 512 from now on, it was " in text
    assert "--resume: steps is 2 from now on, it was 1" in text
    assert re.search(
        r"--resume: doubleback is \S+, code \w{12} from now on, it was \S+, code 0\w{12} \(other steps", text
    )
    assert re.search(r"--resume: threads is \d+ from now on, it was 9\d+ \(last bits may differ\)", text)
    assert [json.loads(line)["step"] for line in (own / "run" / "metrics.jsonl").read_text().splitlines()] == [0, 1, 2]
