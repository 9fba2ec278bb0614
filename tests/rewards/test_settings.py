"""Settings as people write them: a bare value and the key it is short for are one thing, in YAML and in overrides."""

from typing import ClassVar

import pytest

from doubleback.rewards.settings import Section, override, validated
from doubleback.rewards.types import ConfigError


class Spice(Section):
    short_for: ClassVar[str] = "grams"

    grams: float
    heat: int = 1


class Dish(Section):
    main: Spice
    others: dict[str, Spice] = {}  # noqa: RUF012  (frozen, never shared)
    side: Spice | None = None
    pot: str = "round"


@pytest.mark.parametrize(
    ("start", "item", "expected"),
    [
        ({"main": 0.2}, "main.grams=0.1", Spice(grams=0.1)),
        ({"main": 0.2}, "main.heat=3", Spice(grams=0.2, heat=3)),
        ({"main": {"grams": 0.2, "heat": 3}}, "main=0.1", Spice(grams=0.1, heat=3)),
        ({"main": {"grams": 0.2, "heat": 3}}, "main={grams: 0.1}", Spice(grams=0.1)),
        ({"main": 0.2}, "main=0.5", Spice(grams=0.5)),
    ],
)
def test_a_bare_value_and_its_key_are_one_thing(start, item, expected):
    assert validated(Dish, override(start, [item], Dish)).main == expected
    nested = override({"main": 1.0, "others": {"x": start["main"]}}, [item.replace("main", "others.x")], Dish)
    assert validated(Dish, nested).others["x"] == expected
    optional = override({"main": 1.0, "side": start["main"]}, [item.replace("main", "side")], Dish)
    assert validated(Dish, optional).side == expected


def test_a_value_that_is_short_for_nothing_is_no_section():
    with pytest.raises(ConfigError, match=r"override 'pot.size=1': pot is a value, not a section"):
        override({"main": 1.0, "pot": "flat"}, ["pot.size=1"], Dish)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"main": 1.0, "others": {"x": {"gram": 1.0}}}, "others.x.gram: there is no such key; did you mean grams?"),
        ({"main": 1.0, "side": {"grams": 1.0, "heta": 1}}, "side.heta: there is no such key; did you mean heat?"),
        ({"main": "much"}, "main.grams='much': input should be a valid number"),
    ],
)
def test_the_nearest_key_is_named_inside_mappings_and_optional_sections(data, message):
    with pytest.raises(ConfigError) as caught:
        validated(Dish, data)
    assert message in str(caught.value).splitlines()


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
def test_a_number_is_finite(value):
    """A bound that is NaN would bound nothing: every comparison with it is false."""
    with pytest.raises(ConfigError, match=r"main\.grams=(nan|-?inf): input should be a finite number"):
        validated(Dish, override({"main": 0.2}, [f"main.grams={value}"], Dish))
