"""What is pushed of a run, and what comes back from the hub: the adapter, the card, the recipe, what was measured."""

import json
import os
import subprocess
import sys

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from peft import PeftModel
from support.commands import errors
from support.servers.hub import TOKEN
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, AutoTokenizer

from doubleback.recipes import push
from doubleback.rewards.types import ConfigError
from doubleback.rl.policy.base import load_base
from doubleback.rl.types import ModelSource

PAPERS = {"README.md", "recipe.yaml", "results.json"}
ADAPTER = {*PAPERS, "adapter_config.json", "adapter_model.safetensors"}


@pytest.fixture
def base(tiny_model_folder):
    return load_base(ModelSource(str(tiny_model_folder), "float32", 256))


def written(files, folder):
    """What a server keeps, as files."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def logprobs(model):
    ids = torch.randint(0, 100, (2, 24), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return model(input_ids=ids).logits.float().log_softmax(-1)


@pytest.mark.parametrize("options", [[], ["--public"]], ids=["private", "public"])
def test_from_what_the_hub_was_sent_peft_loads_the_same_adapter(
    run, hub, run_folder, make_policy, base, tmp_path, options
):
    code, out, err = run("push", run_folder, "ann/backtracker", *options)
    assert code == 0, err
    kept = hub.repositories["ann/backtracker"]
    assert kept.is_private == (not options)
    assert kept.commits == ["Adapter of step 4"]
    assert kept.files.keys() == ADAPTER
    assert f"pushed  {hub.url}/ann/backtracker/commit/" in out
    bare = logprobs(base)
    loaded = PeftModel.from_pretrained(base, str(written(kept.files, tmp_path / "back")))
    assert_close(logprobs(loaded), logprobs(make_policy(seed=3)), atol=1e-5, rtol=0)
    assert (logprobs(loaded) - bare).abs().max() > 0.1


def test_a_merged_push_is_a_plain_checkpoint_with_its_tokenizer(run, hub, run_folder, make_policy, tmp_path):
    code, _, err = run("push", run_folder, "ann/whole", "--merged", "--license", "mit", "--base", "someone/tiny-moe")
    assert code == 0, err
    files = hub.repositories["ann/whole"].files
    assert files.keys() >= {*PAPERS, "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    folder = str(written(files, tmp_path / "back"))
    assert_close(
        logprobs(AutoModelForCausalLM.from_pretrained(folder)), logprobs(make_policy(seed=3)), atol=1e-4, rtol=0
    )
    assert AutoTokenizer.from_pretrained(folder)("1 + 1")["input_ids"]
    card = ModelCard(files["README.md"].decode())
    data = card.data.to_dict()
    assert (data["library_name"], data["license"], data["base_model"]) == ("transformers", "mit", "someone/tiny-moe")
    assert data["base_model_relation"] == "finetune"
    assert "**The merged checkpoint:** the figures are of base and adapter." in card.text


@pytest.mark.slow
def test_the_program_pushes_to_the_hub_that_the_environment_names_and_loads_no_torch(hub, run_folder):
    program = (
        "import atexit, sys; from doubleback.recipes.commands.cli import main; "
        "atexit.register(lambda: print('torch' in sys.modules)); main()"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", program, "push", run_folder, "ann/backtracker"]
    pushed = subprocess.run(command, capture_output=True, text=True, env={**environment, "HF_TOKEN": TOKEN})
    assert pushed.returncode == 0, pushed.stderr
    assert hub.repositories["ann/backtracker"].files.keys() == ADAPTER
    assert pushed.stdout.splitlines()[-1] == "False"


def test_a_folder_holds_to_the_byte_what_would_be_pushed_and_asks_no_network(run, hub, run_folder, tmp_path):
    assert run("push", run_folder, "ann/backtracker")[0] == 0
    hub.requests.clear()
    code, out, err = run("push", run_folder, "ann/backtracker", "--out", tmp_path / "dry")
    assert code == 0, err
    assert hub.requests == []
    assert {path.name: path.read_bytes() for path in (tmp_path / "dry").iterdir()} == hub.repositories[
        "ann/backtracker"
    ].files
    assert f"pushed  nothing; they are in {tmp_path / 'dry'}" in out


def test_a_dry_run_needs_no_token_and_finds_a_folder_itself(run, run_folder, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    assert run("push", run_folder, "ann/backtracker", "--dry-run")[0] == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("push-backtracker-")
    assert {path.name for path in folder.iterdir()} == ADAPTER


def test_no_file_names_a_folder_of_this_machine(run_folder, tiny_model_folder, tmp_path):
    push(run_folder, "ann/backtracker", out=tmp_path / "dry")
    texts = {path.name: path.read_text() for path in (tmp_path / "dry").iterdir() if path.suffix != ".safetensors"}
    for place in (run_folder, tiny_model_folder, "/home/ann"):
        assert [name for name, text in texts.items() if str(place) in text] == []
    config = json.loads(texts["adapter_config.json"])
    assert config["base_model_name_or_path"] is None
    assert config["target_modules"] == sorted(config["target_modules"])
    assert yaml.safe_load(texts["recipe.yaml"])["model"]["path"] == tiny_model_folder.name


def test_a_description_that_names_a_folder_of_this_machine_is_refused(run_folder, tmp_path):
    recipe = run_folder / "recipe.yaml"
    settings = yaml.safe_load(recipe.read_text())
    recipe.write_text(yaml.safe_dump({**settings, "description": f"as in {run_folder}/notes"}))
    with pytest.raises(ConfigError, match=r"README.md would tell others of .*/run on this machine; nothing is pushed"):
        push(run_folder, "ann/backtracker", out=tmp_path / "dry")
    assert not (tmp_path / "dry").exists()


def test_secrets_of_a_recipe_are_left_out_and_named(run, run_folder, tmp_path):
    recipe = run_folder / "recipe.yaml"
    settings = yaml.safe_load(recipe.read_text())
    settings["reward"]["components"]["format"]["args"] = {"api_key": "letmein", "url": "https://a:b@c.de"}
    recipe.write_text(yaml.safe_dump(settings))
    code, out, err = run("push", run_folder, "ann/backtracker", "--out", tmp_path / "dry")
    assert code == 0, err
    assert "left out reward.components.format.args.api_key, which looks like a secret" in out
    texts = "".join(path.read_text() for path in (tmp_path / "dry").iterdir() if path.suffix in (".md", ".yaml"))
    assert "letmein" not in texts
    assert "a:b@c.de" not in texts


def test_a_base_with_a_name_is_in_card_and_settings(run_folder, tmp_path):
    push(run_folder, "ann/backtracker", out=tmp_path / "dry", base="someone/tiny-moe")
    assert (
        json.loads((tmp_path / "dry/adapter_config.json").read_text())["base_model_name_or_path"] == "someone/tiny-moe"
    )
    data = ModelCard((tmp_path / "dry/README.md").read_text()).data.to_dict()
    assert (data["base_model"], data["base_model_relation"]) == ("someone/tiny-moe", "adapter")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["backtracker"], "backtracker: give OWNER/NAME, of letters, digits, - _ and . alone"),
        (["ann/back/tracker"], "ann/back/tracker: give OWNER/NAME"),
        (["ann/back tracker"], "ann/back tracker: give OWNER/NAME"),
        (["ann/b", "--base", "tiny"], "--base tiny: give OWNER/NAME"),
        (["ann/b", "--checkpoint", "3"], "--checkpoint 3: {run} has none of step 3; it has those of: 4"),
        (["ann/b", "--merged", "--dtype", "float16"], "--dtype float16: choose float32 or bfloat16"),
        (["ann/b", "--dtype", "float32"], "--dtype float32 is for a merged checkpoint; add --merged"),
        (["ann/b", "--out", "{run}"], "--out {run} exists already; choose another folder"),
    ],
)
def test_what_does_not_fit_is_one_line_and_nothing_is_asked(run, hub, run_folder, arguments, line):
    code, _, err = run("push", run_folder, *(it.format(run=run_folder) for it in arguments))
    assert (code, len(errors(err))) == (2, 1)
    assert errors(err)[0].startswith(f"error: {line.format(run=run_folder)}")
    assert hub.requests == []


def test_what_is_no_run_and_a_run_without_a_checkpoint_are_named(run, hub, run_folder, tmp_path):
    code, _, err = run("push", tmp_path, "ann/b")
    assert (code, f"error: {tmp_path} is no run" in err) == (2, True)
    (run_folder / "checkpoints" / "step-00004").rename(run_folder / "checkpoints" / "step-00004.tmp")
    code, _, err = run("push", run_folder, "ann/b")
    assert (code, "is a run without a checkpoint; train it further" in err) == (2, True)
    assert hub.requests == []


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_checkpoint_that_is_not_what_was_saved_is_not_pushed(run, hub, run_folder, name):
    path = run_folder / "checkpoints" / "step-00004" / name
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    code, _, err = run("push", run_folder, "ann/b")
    assert (code, f"is corrupt: {name} is not what was saved" in errors(err)[0]) == (2, True)
    assert hub.repositories == {}


def test_a_push_into_a_folder_asks_no_hub_for_the_base(run_folder, asked, tmp_path):
    recipe = yaml.safe_load((run_folder / "recipe.yaml").read_text(encoding="utf-8"))
    recipe["model"]["path"] = "owner/name@v9"
    (run_folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    push(run_folder, "ann/backtracker", out=tmp_path / "out")
    assert asked == []
    assert ModelCard((tmp_path / "out" / "README.md").read_text(encoding="utf-8")).data.base_model == "owner/name"
