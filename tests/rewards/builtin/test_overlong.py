"""Soft over-length, by hand."""

import pytest

from doubleback.rewards.builtin.overlong import SoftOverlong
from doubleback.rewards.types import ConfigError


@pytest.mark.parametrize(
    ("length", "value"), [(1, 0.0), (96, 0.0), (97, -1 / 32), (112, -0.5), (127, -31 / 32), (128, -1.0)]
)
def test_falls_in_a_straight_line_over_the_buffer(length, value):
    assert SoftOverlong(max_tokens=128, buffer=32)(completion_ids=[[0] * length]) == [pytest.approx(value, abs=1e-12)]


@pytest.mark.parametrize("buffer", [0, 128, 200])
def test_a_buffer_that_cannot_be_is_refused(buffer):
    with pytest.raises(ConfigError, match=rf"overlong: buffer={buffer} must be from 1 to below"):
        SoftOverlong(max_tokens=128, buffer=buffer)
