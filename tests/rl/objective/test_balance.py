"""Balance of experts: loads counted and measures worked out by hand."""

import json
from math import isnan, log, nan

import numpy as np
import pytest

from doubleback.rl.objective.balance import (
    Balance,
    balance,
    by_layer,
    expert_loads,
    from_layers,
    moved_bias,
    over_layers,
)


def test_four_loads_by_hand():
    found = balance([4, 3, 1, 0], num_tokens=4)  # 8 choices, 2 an expert on average
    assert (found.max_violation, found.mean_violation) == (1.0, 0.75)  # (4 - 2) / 2; (1 + .5 + .5 + 1) / 4
    assert (found.unused, found.largest_share) == (0.25, 1.0)
    expected = -(log(1 / 2) / 2 + 3 / 8 * log(3 / 8) + log(1 / 8) / 8) / log(4)
    assert found.entropy == pytest.approx(expected, abs=1e-12)


def test_the_ends_of_every_measure():
    even, single = balance([5, 5, 5, 5], num_tokens=10), balance([0, 0, 7, 0], num_tokens=7)
    assert even == Balance(0.0, 0.0, pytest.approx(1.0, abs=1e-12), 0.0, 0.5)
    assert single == Balance(3.0, 1.5, 0.0, 0.75, 1.0)  # (4 - 1); (1 + 1 + 3 + 1) / 4


def test_nothing_that_is_not_measured_is_a_number():
    assert all(map(isnan, over_layers([balance([0, 0], 0)]).values()))
    assert all(map(isnan, over_layers([balance([1, 1], 1), balance([0, 0], 0)]).values()))
    assert all(map(isnan, over_layers([]).values()))
    assert all(map(isnan, over_layers([balance([nan, 1], 1)]).values()))
    assert isnan(balance([3], 3).entropy)  # of one expert there is none


def test_loads_are_counted_layer_by_layer():
    experts_NLK = np.array([[[0, 3], [1, 2]], [[3, 1], [1, 2]], [[0, 1], [2, 1]]], dtype=np.int16)
    assert expert_loads(experts_NLK, 4).tolist() == [[2, 2, 0, 2], [0, 3, 3, 0]]
    assert expert_loads(experts_NLK[:0], 4).tolist() == [[0] * 4] * 2
    wide = np.full((300, 1, 1), 299, dtype=np.int16)
    assert expert_loads(wide, 300).tolist() == [[0] * 299 + [300]]


def test_a_bias_moves_against_the_load_by_hand():
    """Loads of 4, 3, 1, 0 and one at the mean of 2: two down, two up, one as it is, whatever the distance."""
    bias = np.array([0.5, 0.0, 0.0, -0.25, 0.125], dtype=np.float32)
    moved = moved_bias(bias, np.array([4, 3, 1, 0, 2]), 0.125)
    assert moved.tolist() == [0.375, -0.125, 0.125, -0.125, 0.125]
    assert moved_bias(bias, np.full(5, 7), 0.125).tolist() == bias.tolist()


def test_over_layers_a_bad_one_shows():
    found = over_layers([balance([5, 5, 5, 5], 10), balance([0, 0, 7, 0], 7)])
    assert found == {
        "max_violation": 1.5,
        "worst_violation": 3.0,
        "mean_violation": 0.75,
        "entropy": pytest.approx(0.5, abs=1e-12),
        "unused": 0.375,
        "largest_share": 1.0,
    }


def test_a_file_gives_back_what_was_written():
    layers = [balance([4, 3, 1, 0], 4), balance([3], 3)]
    written = json.loads(json.dumps(by_layer(layers), allow_nan=False))
    assert written[1]["entropy"] is None
    assert by_layer(from_layers(written)) == written
    assert from_layers(written)[0] == layers[0]
