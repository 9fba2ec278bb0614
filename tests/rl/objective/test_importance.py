"""Corrections between sampler and trainer, by hand."""

import math

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.tables import IMPORTANCE

DOUBLE = torch.float64
LOG_RATIOS = [[math.log(1.5), math.log(4.0), math.log(0.1), 9.0], [math.log(1.2), math.log(0.9), 9.0, 9.0]]
MASK = tensor([[True, True, True, False], [True, True, False, False]])
"""Ratios 1.5, 4, 0.1: product 0.6, geometric mean 0.843; ratios 1.2, 0.9: product 1.08, mean 1.039."""


def weights(correction, floor, cap):
    old = tensor(LOG_RATIOS, dtype=DOUBLE, requires_grad=True)
    functions = AlgorithmConfig(importance=correction).functions
    found = functions.importance_weight(functions.importance_ratio(old, torch.zeros_like(old), MASK), floor, cap)
    assert not found.requires_grad
    return [row[mask].tolist() for row, mask in zip(found.expand(2, 4), MASK, strict=True)]


BY_HAND = {
    ("token_truncate", None, 2.0): [[1.5, 2.0, 0.1], [1.2, 0.9]],
    ("token_truncate", 0.5, 2.0): [[1.5, 2.0, 0.5], [1.2, 0.9]],
    ("token_mask", None, 2.0): [[1.5, 0.0, 0.1], [1.2, 0.9]],
    ("token_mask", 0.5, 5.0): [[1.5, 4.0, 0.0], [1.2, 0.9]],  # IcePop
    ("sequence_truncate", None, 1.05): [[0.6] * 3, [1.05] * 2],
    ("sequence_truncate", 0.8, 2.0): [[0.8] * 3, [1.08] * 2],
    ("sequence_mask", None, 1.05): [[0.6] * 3, [0.0] * 2],
    ("sequence_mask", 0.8, 2.0): [[0.0] * 3, [1.08] * 2],
    ("geometric_mask", None, 1.0): [[1.0] * 3, [0.0] * 2],
    ("geometric_mask", 0.9, 1.1): [[0.0] * 3, [1.0] * 2],
}


@pytest.mark.parametrize(("correction", "floor", "cap"), BY_HAND)
def test_weights_by_hand(correction, floor, cap):
    found = weights(correction, floor, cap)
    expected = BY_HAND[correction, floor, cap]
    assert [pytest.approx(row, rel=1e-12) for row in expected] == found


@pytest.mark.parametrize("correction", IMPORTANCE)
def test_equal_engines_need_no_correction(correction):
    logprobs = torch.full((2, 4), -1.0, dtype=DOUBLE)
    functions = AlgorithmConfig(importance=correction).functions
    found = functions.importance_weight(functions.importance_ratio(logprobs, logprobs, MASK), 0.5, 2.0)
    assert_close(found.expand(2, 4), torch.ones(2, 4, dtype=DOUBLE), atol=0, rtol=0)
