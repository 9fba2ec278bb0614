"""A reward is found by name, path or entry point, and its arguments are checked before anything runs."""

import sys

import pytest
from support.paths import NASTY
from support.rewarding import section

from doubleback.rewards.builtin.format import think_answer_format
from doubleback.rewards.builtin.repetition import Repetition
from doubleback.rewards.compose.reward import load_reward
from doubleback.rewards.contract.call import Samples, call_now
from doubleback.rewards.contract.functions import ScoreFunction, required_columns
from doubleback.rewards.contract.lookup import load_function, offered
from doubleback.rewards.types import Completion, ConfigError, Problem


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that offers rewards, as pip would leave it."""
    (tmp_path / "brevity.py").write_text(
        "def brief(completions, limit=3, **columns):\n    return [float(len(text) <= limit) for text in completions]\n"
    )
    info = tmp_path / "brevity-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brevity\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[doubleback.rewards]\nbrief = brevity:brief\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("brevity", None)


def test_by_import_path():
    assert load_function("doubleback.rewards.builtin.format:think_answer_format", {}, "k") is think_answer_format
    made = load_function("doubleback.rewards.builtin.repetition:Repetition", {"ngram_size": 2}, "k")
    assert isinstance(made, Repetition)
    assert isinstance(load_function("doubleback.rewards.builtin.countdown:countdown_correct", {}, "k"), ScoreFunction)


def test_a_package_may_export_what_another_module_of_it_defines():
    location = "trl.rewards:get_soft_overlong_punishment"
    made = load_function(location, {"max_completion_len": 10, "soft_punish_cache": 4}, "k")
    assert made(completion_ids=[[0] * 8, [0] * 6]) == [-0.5, 0.0]


def test_by_file_with_its_neighbours(tmp_path):
    (tmp_path / "neighbour_of_mine.py").write_text("LIMIT = 2\n")
    (tmp_path / "mine.py").write_text(
        "from neighbour_of_mine import LIMIT\n"
        "def brief(completions, **columns):\n    return [float(len(text) <= LIMIT) for text in completions]\n"
    )
    function = load_function(f"{tmp_path / 'mine.py'}:brief", {}, "k")
    assert function(completions=["ab", "abc"]) == [1.0, 0.0]


def test_by_entry_point_with_arguments(package):
    assert "brief" in offered()
    (score,) = call_now(load_function("brief", {"limit": 5}, "k"), Samples(("?",), ("abcd",)))
    assert score.value == 1.0
    with pytest.raises(ConfigError, match=r"k: no installed package offers 'breif' .*; did you mean brief\?"):
        load_function("breif", {}, "k")


def test_an_entry_point_scores_in_a_worker(package):
    components = {"brief": {"args": {"limit": 4}}}
    with load_reward(section(components=components)) as reward:
        scores = reward(Problem("p", "?"), [Completion(t, (), (), "stop", 0, "", 0) for t in ("abcd", "abcde")])
    assert [score.value for score in scores] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        (
            "doubleback.rewards.builtin.format:think_anser_format",
            {},
            "has no 'think_anser_format'; did you mean think",
        ),
        ("doubleback.rewards.formats:f", {}, "there is no module 'doubleback.rewards.formats' to import"),
        (".relative:f", {}, "'.relative' is no module name; write package.module:attr or path.py:attr"),
        (f"{NASTY}:NOT_A_FUNCTION", {}, "is no function, but int"),
        (f"{NASTY}:trouble", {"limit": 1}, "trouble has no parameter 'limit'"),
        (f"{NASTY}:trouble", {"completions": []}, "trouble has no parameter 'completions'"),
        (f"{NASTY}:make_constant", {}, "make_constant needs 'value', which is not set"),
        (f"{NASTY}:Scaled", {"factr": 1.0}, r"Scaled has no parameter 'factr'; did you mean factor\?"),
        (f"{NASTY}:waits", {"sconds": 1.0}, "waits has no parameter 'sconds'"),
    ],
)
def test_what_does_not_fit_is_named_with_its_key(target, arguments, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_function(target, arguments, "reward.components.mine")
    assert all(line.startswith("reward.components.mine") for line in str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("os:system", "k: os:system is of Python's standard library; name a module of yours, or a file"),
        ("json.decoder:JSONDecoder", "k: json.decoder:JSONDecoder is of Python's standard library"),
        ("builtins:eval", "k: builtins:eval is of Python's standard library"),
        ("mine.py:system", "system is defined in posix; name the function where it is defined"),
        ("mine.py:os.system", "os.system is defined in posix; name the function where it is defined"),
        ("mine.py:Popen", "Popen is defined in subprocess; name the function where it is defined"),
        ("mine.py:eval", "eval is defined in builtins; name the function where it is defined"),
    ],
)
def test_only_what_is_defined_in_the_named_module_is_taken(tmp_path, monkeypatch, target, message):
    monkeypatch.chdir(tmp_path)
    text = "import os\nfrom os import system\nfrom subprocess import Popen\neval = eval\n"
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_function(target, {"command": "exit 7"}, "k")
    assert message in str(caught.value)


def test_an_argument_of_the_recipe_goes_before_a_column_of_the_same_name(tmp_path):
    (tmp_path / "named.py").write_text(
        "from doubleback.rewards.contract.functions import per_sample\n"
        "def plain(completions, target, **columns):\n    return [float(target)] * len(completions)\n"
        "@per_sample\ndef rich(completion, target):\n    return float(target)\n"
    )
    samples = Samples(("?",), ("x",), {"target": [[7]]})
    for name in ("plain", "rich"):
        function = load_function(f"{tmp_path / 'named.py'}:{name}", {"target": 3}, "k")
        assert call_now(function, samples)[0].value == 3.0
        assert required_columns(function) == ()


def test_arguments_of_a_function_are_set_for_every_call():
    function = load_function(f"{NASTY}:make_constant", {"value": 3.0}, "k")
    assert function(completions=["a", "b"]) == [3.0, 3.0]
