"""The entropy coefficient: by hand, and exact over a resume."""

import math

import pytest

from doubleback.rl.objective.entropy import EntropyCoefficient, applied_coefficient, next_coefficient

SETTINGS = {"target": 0.5, "delta": 0.02, "highest": 0.1}


@pytest.mark.parametrize(
    ("coefficient", "entropy", "expected"),
    [
        (0.04, 0.4, 0.06),  # under the target: up
        (0.04, 0.5, 0.06),  # at the target: up
        (0.04, 0.6, 0.02),  # above: down
        (0.01, 0.6, 0.0),  # never below 0
        (0.09, 0.4, 0.1),  # never above the highest
    ],
)
def test_next_coefficient_by_hand(coefficient, entropy, expected):
    assert next_coefficient(coefficient, entropy, **SETTINGS) == pytest.approx(expected, rel=1e-12)


def test_coefficient_is_applied_only_at_or_under_the_target():
    assert applied_coefficient(0.04, 0.5, target=0.5) == 0.04
    assert applied_coefficient(0.04, 0.51, target=0.5) == 0.0
    assert applied_coefficient(0.04, math.inf, target=0.5) == 0.0
    assert applied_coefficient(0.04, math.inf, target=None) == 0.04


def test_coefficient_over_the_steps_of_a_run_and_a_resume():
    """Entropies fall below 0.5 in the third step: 0 before, then it climbs; a step without tokens moves nothing."""
    entropies = [0.9, 0.6, 0.4, math.nan, 0.45, 0.7, 0.3]
    control = EntropyCoefficient(0.03, 0.5, 0.02, 0.1)
    applied = []
    for index, entropy in enumerate(entropies):
        if index == 4:
            state = control.state()
            control = EntropyCoefficient(0.03, 0.5, 0.02, 0.1)
            control.restore(state)
        applied.append(control.applied)
        control.adapt(entropy)
    # 0.03 -> 0.01 -> 0 -> 0.02, kept, -> 0.04 -> 0.02 -> 0.04
    assert applied == pytest.approx([0, 0, 0, 0.02, 0.02, 0.04, 0], abs=1e-12)
    assert control.applied == pytest.approx(0.04, rel=1e-12)


def test_without_a_target_the_coefficient_is_constant():
    control = EntropyCoefficient(0.03, None, 0.02, 0.1)
    for entropy in (0.1, 3.0):
        control.adapt(entropy)
        assert control.applied == 0.03
