"""Our own files, cut, without a key or from another version: a line that names the file, exit 2, and no traceback."""

import gzip
import json
import shutil
from pathlib import Path

import pytest
import yaml
from support.commands import SMALL_COUNTDOWN, errors

from doubleback.recipes.recipe.loading import load_recipe

EVALUATE = ["eval", "bundled:countdown", "--suite", "countdown", "--limit", "3", "--n", "2", "--max-tokens", "16"]
EVALUATE += ["--engine", "transformers"]
ESTIMATE = {"value": 0.25, "low": 0.125, "high": None}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """The folder of an evaluation."""
    from doubleback.recipes import evaluate

    out = tmp_path_factory.mktemp("evaluated") / "eval"
    evaluate("bundled:countdown", "countdown", out=out, limit=3, n=2, max_tokens=16, engine="transformers")
    return out


@pytest.fixture
def folder(evaluated, tmp_path):
    return Path(shutil.copytree(evaluated, tmp_path / "eval"))


def require_line(outcome, *names):
    """The command ends with its table, or with lines of ours, of which one names the file."""
    code, _, err = outcome
    assert code in (0, 2), err
    if code:
        assert any(all(name in line for name in names) for line in errors(err)), err
    return code


def test_an_evaluation_of_an_older_version_is_named_with_what_it_lacks(run, folder, evaluated):
    path = folder / "summary.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({name: value for name, value in whole.items() if name != "measures"}), encoding="utf-8")
    why = "it was damaged, or another version of doubleback wrote it; evaluate again, with doubleback eval"
    code, _, err = run("compare", evaluated, folder)
    assert (code, errors(err)) == (2, [f"error: {path} has no 'measures': {why}"])


@pytest.mark.slow
def test_an_evaluation_without_a_key_of_its_summary_is_named_and_how_to_have_it(run, folder, evaluated):
    path = folder / "summary.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    codes = {}
    for key in whole:
        path.write_text(json.dumps({name: value for name, value in whole.items() if name != key}), encoding="utf-8")
        codes[key] = require_line(run("compare", evaluated, folder, "--force"), str(path), repr(key), "evaluate again")
    assert {key for key, code in codes.items() if code} >= {"measures", "pass_at_k", "extraction", "maj_at_k"}
    inner = {**whole, "extraction": {}}
    path.write_text(json.dumps(inner), encoding="utf-8")
    assert require_line(run("compare", folder, evaluated), str(path), "'strict'") == 2


@pytest.mark.parametrize("text", ["", "[]", "3", '{"suite": "countd', "\x00"])
def test_a_file_of_an_evaluation_that_is_no_object_is_named(run, folder, evaluated, text):
    for name, command in (
        ("summary.json", ["compare", folder, evaluated]),
        ("settings.json", [*EVALUATE, "--out", folder]),
    ):
        whole = (folder / name).read_bytes()
        (folder / name).write_text(text, encoding="utf-8")
        assert require_line(run(*command), str(folder / name)) == 2
        (folder / name).write_bytes(whole)


@pytest.mark.slow
def test_samples_without_a_key_or_with_a_broken_line_are_named_by_line(run, folder, evaluated):
    path = folder / "samples.jsonl"
    *others, last = path.read_text(encoding="utf-8").splitlines()
    keys = json.loads(last)
    broken = {key: json.dumps({name: value for name, value in keys.items() if name != key}) for key in keys}
    commands = {
        "compare": [evaluated, folder],
        "eval": [*EVALUATE[1:], "--out", folder],
        "score": [folder, "--reward", "countdown", "--force"],
    }
    for what, line in {**broken, "cut": last[:-9], "a list": "[]", "null": "null"}.items():
        for command, words in commands.items():
            path.write_text("\n".join([*others, line, ""]), encoding="utf-8")
            # To score, a row without the name of its problem is a row of another system.
            code = require_line(
                run(command, *words), "--reward" if (what, command) == ("problem", "score") else str(path)
            )
            assert code == 2 or what in keys, (what, command)


def test_an_evaluation_without_samples_is_named(run, folder, evaluated):
    (folder / "samples.jsonl").unlink()
    assert require_line(run("compare", evaluated, folder), "samples.jsonl holds no samples") == 2


@pytest.fixture
def run_folder(tmp_path):
    """What is left of a stopped run of 40 steps."""
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "eval").mkdir()
    (folder / "rollouts").mkdir()
    recipe = load_recipe("countdown", ["steps=40", "engine.name=transformers", *SMALL_COUNTDOWN])
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
    found = {"suite": "validation", "step": 0, "pass_at_k": {"1": ESTIMATE}, "measures": {}}
    (folder / "eval" / "validation-step-00000.json").write_text(json.dumps(found), encoding="utf-8")
    (folder / "metrics.jsonl").write_text(
        '{"step": 0, "reward/mean": 0.5}\n{"step": 1, "reward/mean": 0.5}\n', encoding="utf-8"
    )
    (folder / "inputs.json").write_text("{}", encoding="utf-8")
    environment = {"packages": {}, "sizes": {"microbatch_tokens": 512, "kv_cache_mib": 64}}
    (folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    (folder / "problems.jsonl").write_text('{"id": "a", "prompt": "?", "columns": {"numbers": [3], "target": 3}}\n')
    sample = {"problem": "a", "sample": 0, "step": 1, "completion": "x", "finish_reason": "stop"}
    sample |= {"verdict": "wrong", "score": 0.0, "weighted": {}, "extracted": None, "detail": ""}
    (folder / "rollouts" / "step-00001.jsonl.gz").write_bytes(gzip.compress(f"{json.dumps(sample)}\n".encode()))
    return folder


def broken_versions(path):
    """Each way in which a file of JSON or YAML may be another one: empty, cut, no object, without one of its keys."""
    whole = path.read_bytes()
    yield from (b"", whole[: len(whole) // 2], b"[]\n", b'{"a": 1}\n')
    if path.suffix in (".json", ".yaml"):
        values = yaml.safe_load(whole)
        yield from (json.dumps({name: it for name, it in values.items() if name != key}).encode() for key in values)


FILES = ["metrics.jsonl", "eval/validation-step-00000.json", "rollouts/step-00001.jsonl.gz"]
COMMANDS = {"show": [], "score": ["--reward=countdown", "--force"]}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_run_with_a_broken_file_is_shown_and_scored_or_the_file_is_named(run, run_folder, name):
    path, told = run_folder / name, 0
    for text in broken_versions(path):
        path.write_bytes(text)
        told += sum(require_line(run(it, run_folder, *options), name) for it, options in COMMANDS.items())
    assert told


@pytest.mark.slow
@pytest.mark.parametrize("name", ["recipe.yaml", "inputs.json", "environment.json"])
def test_a_run_whose_settings_are_broken_is_resumed_by_no_command_and_no_traceback(run, run_folder, name):
    path, recipe = run_folder / name, run_folder.parent / "recipe.yaml"
    shutil.copy(run_folder / "recipe.yaml", recipe)
    resume = ["train", recipe, "--out", run_folder, "--resume"]
    for text in broken_versions(path):
        path.write_bytes(text)
        for command in (["show", run_folder], ["merge", run_folder, "--out", run_folder / "merged"], resume):
            code, _, err = run(*command)
            assert code == 2 or command[0] == "show", err
            assert code in (0, 2)
            assert bool(errors(err)) == (code == 2)


@pytest.mark.parametrize("command", ["eval", "score", "compare"])
def test_a_full_disk_stops_eval_score_and_compare_with_exit_1(run, folder, evaluated, largest_file, command):
    if command == "eval":
        (folder / "samples.jsonl").unlink()
    largest_file(12_000 if command == "compare" else 1_500)  # less than its picture, its samples
    words = {"eval": [*EVALUATE, "--out", folder], "score": ["score", folder, "--reward", "countdown"]}
    code, _, err = run(*words.get(command, ["compare", evaluated, folder]))
    assert (code, errors(err)) == (1, []), err
    assert [line for line in err.splitlines() if line.startswith("stopped: no space left to write ")], err
    assert not list(folder.glob("*.tmp"))
