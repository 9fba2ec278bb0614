"""A run's folder as training leaves it, made by hand so that every number is known, and a stand-in for the hub."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from support.servers.hub import TOKEN, served_hub

from doubleback.eval import summary
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.rl.policy import lora
from doubleback.rl.run.manifest import write_manifest

RIGHT = {0: 1, 4: 3}
"""Step -> right samples of four, of each of the test problems but the last, of which it is all."""
SETTINGS = ["steps=4", "seed=7", "eval.n=4", "eval.k=[1,4]", "optim.lr=3e-4", "sampling.max_tokens=32"]
SETTINGS += ["reward.components.overlong.args.buffer=16", "task.prompt={question} ="]


def evaluation(suite, step):
    problems = [(f"p{number}", RIGHT[step]) for number in range(5)] + [("p5", 4)]
    lines = [
        {"problem": name, "verdict": "correct" if sample < right else "wrong", "tokens": 10, "finish_reason": "stop"}
        for name, right in problems
        for sample in range(4)
    ]
    return summary(lines, {"suite": suite, "step": step, "adapter_hash": "a"}, [1, 4])


@pytest.fixture(scope="module")
def whole_run(make_policy, tiny_model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ann") / "run"
    recipe = load_recipe("countdown", [f"model.path={tiny_model_folder}", *SETTINGS])
    checkpoint = folder / "checkpoints" / "step-00004"
    model = make_policy(seed=3)
    lora.save(model, checkpoint)
    write_manifest(checkpoint, 4)
    (folder / "eval").mkdir()
    for suite, step in (("test", 0), ("test", 4), ("validation", 0)):
        path = folder / "eval" / f"{suite}-step-{step:05d}.json"
        path.write_text(json.dumps(evaluation(suite, step)), encoding="utf-8")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
    lines = [{"step": step, "rollout/tokens": 1000.0, "seconds/step": 30.0, "sync/max_abs": 2e-6} for step in range(6)]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    inputs = {
        f"model.path={tiny_model_folder}/config.json": f"SHA-256 {'c' * 64}",
        "the set of test problems": f"6 problems (SHA-256 {'d' * 64})",
        "task.prompt=/home/ann/asks.yaml": f"SHA-256 {'e' * 64}",
    }
    (folder / "inputs.json").write_text(json.dumps(inputs), encoding="utf-8")
    environment = {
        "python": "3.11.9",
        "platform": "Linux-6.1",
        "threads": 2,
        "packages": {"torch": "2.13.0", "trl": None},
    }
    (folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    return folder


@pytest.fixture
def run_folder(whole_run, tmp_path):
    return Path(shutil.copytree(whole_run, tmp_path / "run"))


@pytest.fixture
def hub(monkeypatch):
    """The stand-in, as the hub of this process, with a token that may write."""
    from huggingface_hub import constants

    with served_hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        # Xet sends large files to a store of its own, by a program of its own: without it they go by plain HTTP.
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub
