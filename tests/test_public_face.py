"""What is promised: the names that each layer exports, and their signatures. A change here is a change for users."""

import importlib
import inspect
import subprocess
import sys

import pytest

PROMISED = {
    "eval": {
        "interval": "values_P is_single",
        "paired_difference": "first_P second_P n seed",
        "pass_at_k": "num_samples num_correct k",
        "summary": "lines settings ks measures",
    },
    "recipes": {
        "Run": "path",
        "compare": "first second force",
        "evaluate": "model suite out console options",
        "evaluate_modes": "run suite out console options",
        "load_recipe": "name overrides trust",
        "push": "run name out console options",
        "train": "recipe out resume callbacks console",
        "upcycle": "model out experts top_k noise seed",
    },
    "rl": {
        "batch_scaled": "rewards_PG by_rewards epsilon",
        "centre": "rewards_G",
        "cispo_surrogate": "ratio_BT logprobs_BT advantages_B1 clip_low clip_high",
        "clipped_surrogate": "ratio_BT advantages_B1 clip_low clip_high dual_clip",
        "kl_k1": "logprobs_BT other_logprobs_BT",
        "kl_k2": "logprobs_BT other_logprobs_BT",
        "kl_k3": "logprobs_BT other_logprobs_BT",
        "leave_one_out": "rewards_G",
        "maxrl": "rewards_G",
        "probability_ratio": "logprobs_BT old_logprobs_BT mask_BT level",
        "sapo_surrogate": "ratio_BT advantages_B1 sapo_positive sapo_negative",
        "standardise": "rewards_G epsilon",
        "token_weights": "lengths_B normaliser max_tokens",
    },
    "rewards": {
        "Completion": "text token_ids sampler_logprobs finish_reason policy_version adapter_hash seed",
        "ConfigError": None,
        "Problem": "id prompt columns history",
        "RunError": None,
        "Score": "value verdict extracted parts weighted detail seconds",
        "Verdict": None,
        "extract": "text style thinking",
        "load_reward": "section max_tokens key",
        "per_group": "function",
        "per_sample": "function",
    },
}
"""Layer -> exported name -> its parameters, in their order; None where what matters is the name alone."""


@pytest.mark.parametrize("layer", PROMISED)
def test_the_layer_exports_what_is_promised(layer):
    package = importlib.import_module(f"doubleback.{layer}")
    assert sorted(package.__all__) == sorted(PROMISED[layer])
    for name, parameters in PROMISED[layer].items():
        exported = getattr(package, name)
        assert exported.__doc__, name
        if parameters is not None:
            assert " ".join(inspect.signature(exported).parameters) == parameters, name


@pytest.mark.parametrize("layer", PROMISED)
def test_importing_the_layer_loads_neither_torch_nor_its_modules(layer):
    assert loaded_by(f"doubleback.{layer}") & {"torch", "pydantic", "vllm"} == set()


@pytest.mark.parametrize("process", ["keeper", "worker"])
def test_a_process_of_rewards_starts_without_settings(process):
    """A worker that was killed is replaced while a step waits for its rewards."""
    assert loaded_by(f"doubleback.rewards.workers.{process}") & {"torch", "pydantic", "yaml", "numpy"} == set()


def loaded_by(module):
    """What importing a module in a fresh process loads."""
    code = f"import sys, {module}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
