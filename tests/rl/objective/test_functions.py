"""Functions of the user's in place of a row: what is given to them, and what is said of those that do not fit."""

import inspect
import math
import pickle

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.functions import REWARDS, TENSORS, named
from doubleback.rl.objective.tables import ADVANTAGES, IMPORTANCE, SURROGATES, TABLES

ROWS = [(key, name) for key, table in TABLES.items() for name in table]


@pytest.fixture
def location(tmp_path):
    def write(code, name="mine"):
        (tmp_path / "mine.py").write_text(f"import torch\n{code}\n")
        return f"{tmp_path / 'mine.py'}:{name}"

    return write


@pytest.mark.parametrize("name", SURROGATES)
def test_a_row_names_the_settings_that_its_function_takes(name):
    parameters = set(inspect.signature(named("surrogate", name)).parameters)
    assert parameters - set(TENSORS) == set(SURROGATES[name].reads)


@pytest.mark.parametrize("name", ADVANTAGES)
def test_an_advantage_takes_rewards_first(name):
    assert next(iter(inspect.signature(named("advantage", name)).parameters)) in REWARDS


@pytest.mark.parametrize(("key", "name"), ROWS)
def test_every_row_loads_and_names_its_paper_and_keys_of_algorithm(key, name):
    row = TABLES[key][name]
    assert row.paper
    assert callable(named(key, name))
    assert set(row.reads) <= set(AlgorithmConfig.model_fields)


def test_importance_reads_its_bounds():
    assert {row.reads for row in IMPORTANCE.values()} == {("importance_floor", "importance_cap")}


@pytest.mark.parametrize(
    ("key", "name", "message"),
    [
        ("advantage", "center", "algorithm.advantage='center' is unknown; did you mean centre?"),
        ("surrogate", "clip", "algorithm.surrogate='clip' is unknown; did you mean clipped?"),
        ("importance", "token", "algorithm.importance='token' is unknown; did you mean token_mask?"),
        ("kl_estimator", "k4", "algorithm.kl_estimator='k4' is unknown; known: k1, k2, k3"),
        ("kl_estimator", "mine.py:kl", "algorithm.kl_estimator='mine.py:kl' is unknown; known: k1, k2, k3"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(key, name, message):
    with pytest.raises(ValueError, match=key) as caught:
        AlgorithmConfig(**{key: name})
    assert str(caught.value.errors()[0]["ctx"]["error"]) == message


def test_an_advantage_may_see_the_whole_step_and_keys_of_algorithm(location):
    """Judged rewards alone arrive, and no group without any."""
    code = """
def mine(rewards_PG, *, clip_high):
    highest = max(reward for rewards_G in rewards_PG for reward in rewards_G)
    return [[clip_high * reward / highest for reward in rewards_G] for rewards_G in rewards_PG]
"""
    advantage = AlgorithmConfig(advantage=location(code), clip_high=0.5).functions.advantage
    assert advantage([[1.0, 2.0], [4.0]]) == [[0.125, 0.25], [0.5]]


def test_a_surrogate_gets_what_it_names(location):
    code = "def mine(logprobs_BT, mask_BT, ratio_BT, scale=3.0): return -scale * logprobs_BT * ratio_BT * mask_BT"
    functions = AlgorithmConfig(surrogate=location(code)).functions
    given = {"ratio_BT": tensor([[2.0, 1.0]]), "logprobs_BT": tensor([[-1.0, -2.0]])}
    found = functions.surrogate(**given, advantages_B1=tensor([[1.0]]), mask_BT=tensor([[True, False]]))
    assert_close(found, tensor([[6.0, 0.0]]), atol=0, rtol=0)
    assert functions.clip_shares(**given) == {}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("other = 1", "algorithm.advantage: .*mine.py has no 'mine'; "),
        ("mine = 3", "algorithm.advantage=.*:mine is no function, but int"),
        ("def mine(rewards): return rewards", "takes rewards first; let that be rewards_G, .* or rewards_PG, "),
        ("def mine(): return []", "takes nothing first; let that be rewards_G"),
        ("def mine(rewards_G, clip_hih): ...", "takes 'clip_hih', .* key of algorithm; did you mean clip_high?"),
    ],
)
def test_an_advantage_that_does_not_fit_is_named_when_it_is_loaded(location, code, message):
    with pytest.raises(ConfigError, match=message) as caught:
        AlgorithmConfig(advantage=location(code)).require_functions()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[0.5]", r"mine returned 1 advantages for 2 rewards: \[1\.0, 0\.0\]"),
        (
            "[float('nan'), 0.0]",
            r"mine returned \[nan, 0\.0\] for the rewards \[1\.0, 0\.0\]; advantages must be finite",
        ),
        ("[0.0, float('inf')]", "must be finite"),
        ("None", "mine must return a number for each reward: 'NoneType' object is not iterable"),
        ("[0.0, 'high']", "mine must return a number for each reward: could not convert"),
    ],
)
def test_what_an_advantage_returns_is_checked(location, body, message):
    advantage = AlgorithmConfig(advantage=location(f"def mine(rewards_G): return {body}")).functions.advantage
    with pytest.raises(RunError, match=message):
        advantage([[1.0, 0.0]])


def test_an_advantage_of_the_step_returns_as_many_groups(location):
    code = "def mine(rewards_PG): return [[0.0, 0.0], [0.0, 0.0]]"
    advantage = AlgorithmConfig(advantage=location(code)).functions.advantage
    with pytest.raises(RunError, match="returned 2 groups of advantages for 1 of rewards"):
        advantage([[1.0, 0.0]])


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def mine(advantages_B1): ...", "takes neither ratio_BT nor logprobs_BT"),
        ("def mine(ratio_BT, advantages): ...", "takes 'advantages', .*; did you mean advantages_B1?"),
        ("mine = torch.minimum", "mine is defined in torch; name the function where it is defined"),
        (
            "import functools\nmine = functools.partial(torch.minimum)",
            "mine does not tell its parameters; write a function of Python around it",
        ),
    ],
)
def test_a_surrogate_that_does_not_fit_is_named_when_it_is_loaded(location, code, message):
    with pytest.raises(ConfigError, match=message):
        AlgorithmConfig(surrogate=location(code)).require_functions()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "3.0",
            r"returned float of shape \(\) for 2 completions of 3 tokens; return a tensor of shape \(2, 3\) or ",
        ),
        ("ratio_BT[:, :2]", r"returned Tensor of shape \(2, 2\)"),
        ("ratio_BT / 0", "returned a loss that is not finite"),
        ("ratio_BT * float('nan')", "returned a loss that is not finite"),
    ],
)
def test_what_a_surrogate_returns_is_checked(location, body, message):
    surrogate = AlgorithmConfig(surrogate=location(f"def mine(ratio_BT): return {body}")).functions.surrogate
    ones = torch.ones(2, 3)
    with pytest.raises(RunError, match=message):
        surrogate(ratio_BT=ones, logprobs_BT=-ones, advantages_B1=ones[:, :1], mask_BT=ones > 0)


def test_a_setting_that_a_surrogate_of_the_users_does_not_take_is_named(location):
    algorithm = AlgorithmConfig(surrogate=location("def mine(ratio_BT, clip_low): ..."), clip_low=0.1, clip_high=0.3)
    message = (
        r"^algorithm\.clip_high=0\.3 has no effect with .*mine; leave it at 0\.28 or set surrogate to clipped or cispo$"
    )
    with pytest.raises(ConfigError, match=message):
        algorithm.require_functions()


def test_settings_with_functions_loaded_can_be_copied_to_another_process():
    algorithm = AlgorithmConfig(advantage="batch_scaled", surrogate="sapo")
    assert algorithm.functions.surrogate_reads == {"sapo_positive", "sapo_negative"}
    copied = pickle.loads(pickle.dumps(algorithm))
    assert copied == algorithm
    assert copied.functions.advantage([[1.0, 0.0]]) == algorithm.functions.advantage([[1.0, 0.0]])


def test_settings_are_equal_whether_or_not_their_functions_are_loaded():
    one, other = AlgorithmConfig(), AlgorithmConfig()
    assert math.isclose(sum(one.functions.advantage([[1.0, 0.0]])[0]), 0.0)
    assert one == other
    assert one.model_dump() == other.model_dump()
