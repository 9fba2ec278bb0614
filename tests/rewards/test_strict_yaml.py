"""YAML says one thing, and no more than can be held."""

import pytest

from doubleback.rewards.strict_yaml import MAX_VALUES, parse_yaml
from doubleback.rewards.types import ConfigError

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcde", "bcdef", strict=True)
)


def test_numbers_are_those_of_yaml_1_2():
    assert parse_yaml("[1e-3, 2E+4, .5, 1, no e]", "text") == [0.001, 20000.0, 0.5, 1, "no e"]
    assert parse_yaml("", "text") is None


@pytest.mark.slow
def test_an_alias_may_be_used():
    text = "one: &it {a: 1, b: 2}\ntwo: *it\nthree: {<<: *it, b: 3}"
    assert parse_yaml(text, "text")["three"] == {"a": 1, "b": 3}
    assert len(parse_yaml(f"[{'x, ' * (MAX_VALUES - 1)}]", "text")) == MAX_VALUES - 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\nb: {c: 1, c: 2}", "the key 'c' stands twice"),
        ("a: 1\na: 1", "the key 'a' stands twice"),
        (BOMB, f"stands for more than {MAX_VALUES:,} values"),
        ("a: &a [*a]", f"stands for more than {MAX_VALUES:,} values"),
        ("[" * 2000 + "]" * 2000, "is not YAML: maximum recursion depth exceeded"),
        ("2001-99-99", "is not YAML: month must be in 1..12"),
        ("9" * 4301, "is not YAML: Exceeds the limit"),
        ("a: [", "is not YAML: while parsing"),
        ("\x1b[2J", "is not YAML: unacceptable character #x001b"),
        ("!!python/object/apply:os.getcwd []", "is not YAML: could not determine a constructor"),
    ],
)
def test_what_says_two_things_or_too_much_is_one_line(text, reason):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "recipe a.yaml")
    assert str(caught.value).startswith("recipe a.yaml ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
