"""One summary for every samples file, by hand."""

import math

import pytest

from doubleback.eval.compare import Evaluated, compare
from doubleback.eval.measures.measure import Measure
from doubleback.eval.summarise import by_problem, summary, vote
from doubleback.recipes.tasks.countdown.task import MEASURES
from doubleback.rewards.types import ConfigError


def line(problem, verdict="correct", **more):
    return {"problem": problem, "verdict": verdict, "completion": "Wait.", "tokens": 4, "truncated": False, **more}


# p: 2 of 4 right; q: 0 of 4; r: 1 of 3, one timed out
LINES = [
    *(line("p", verdict, extracted=answer, parts={"strict": float(strict)}) for verdict, answer, strict in (
        ("correct", "72", True), ("correct", "72.0", False), ("wrong", "73", False), ("no_answer", None, False))),
    *(line("q", "wrong", extracted="1", parts={"strict": 0.0}) for _ in range(4)),
    line("r", "correct", extracted="x + 1", parts={"strict": 1.0}, tokens=8),
    line("r", "wrong", extracted="5", parts={"strict": 0.0}),
    line("r", "truncated", extracted=None, truncated=True, parts={"strict": 0.0}),
    line("r", "timeout", extracted="x", parts={"strict": 0.0}),
]  # fmt: skip


def test_rates_by_hand():
    found = summary(LINES, {"suite": "s", "seed": 3}, ks=(2,))
    assert (found["suite"], found["seed"], found["num_problems"], found["n"]) == ("s", 3, 3, 4)
    assert found["pass_at_k"]["1"]["value"] == pytest.approx((1 / 2 + 0 + 1 / 3) / 3, abs=1e-12)
    # pass@2: p 1 - C(2,2)/C(4,2) = 5/6; q 0; r 1 - C(2,2)/C(3,2) = 2/3
    assert found["pass_at_k"]["2"]["value"] == pytest.approx((5 / 6 + 0 + 2 / 3) / 3, abs=1e-12)
    assert set(found["pass_at_k"]) == {"1", "2", "3"}  # r has three samples that could be judged
    # pass^2: p C(2,2)/C(4,2) = 1/6, q 0, r 0
    assert found["pass_all_k"]["2"]["value"] == pytest.approx((1 / 6) / 3, abs=1e-12)
    assert set(found["maj_at_k"]) == {"2", "3"}
    assert found["avg_at_n"]["value"] == pytest.approx(found["pass_at_k"]["1"]["value"], abs=1e-12)
    assert found["extraction"]["strict"]["value"] == pytest.approx((1 / 4 + 0 + 1 / 3) / 3, abs=1e-12)
    assert found["extraction"]["flexible"] == found["avg_at_n"]
    assert found["no_answer_rate"]["value"] == pytest.approx((1 / 4) / 3, abs=1e-12)
    assert found["unusable_rate"]["value"] == pytest.approx((1 / 4) / 3, abs=1e-12)
    assert found["cut_off_rate"]["value"] == pytest.approx((1 / 4) / 3, abs=1e-12)
    assert found["mean_tokens"]["value"] == pytest.approx((4 + 4 + 5) / 3, abs=1e-12)
    assert found["verdicts"]["wrong"] == pytest.approx(6 / 12, abs=1e-12)
    assert found["obeys_thinking"]["value"] is None
    assert "backtracks" not in found


def test_majority_by_hand():
    # p, three of 72 72.0 73 none: {72 72 73}, {72 72 -}: right; {72 73 -} twice: a tie, half. (1 + 1 + .5 + .5) / 4
    found = summary(LINES[:4], {}, ks=(3,))
    assert found["maj_at_k"]["3"]["value"] == pytest.approx(3 / 4, abs=1e-12)
    assert found["maj_at_k"]["4"]["value"] == 1.0


def test_votes_are_values_where_there_are_some():
    assert vote({"extracted": "72.0"}) == vote({"extracted": "72"}) == vote({"extracted": "$72$"}) == "72"
    assert vote({"extracted": "\\frac{1}{2}"}) == vote({"extracted": "0.5"})
    assert vote({"extracted": "x + 1"}) == vote({"extracted": "x+1"})
    assert vote({"extracted": None}) is None


def test_one_sample_a_problem_gets_wilsons_interval():
    found = summary([line(str(n), "correct" if n < 8 else "wrong") for n in range(10)], {})
    # 8 of 10: (0.8 + z^2/20 -+ z sqrt(0.016 + z^2/400)) / (1 + z^2/10), z = 1.95996
    assert found["pass_at_k"]["1"]["low"] == pytest.approx(0.4901625, abs=1e-6)
    assert found["pass_at_k"]["1"]["high"] == pytest.approx(0.9433178, abs=1e-6)


def test_order_of_lines_does_not_matter_within_a_problem():
    shuffled = [LINES[i] for i in (3, 8, 0, 5, 2, 11, 1, 4, 9, 6, 7, 10)]
    assert [sorted(map(str, group)) for group in by_problem(shuffled)] == [
        sorted(map(str, group)) for group in (LINES[:4], LINES[8:], LINES[4:8])
    ]
    assert summary(shuffled, {})["avg_at_n"]["value"] == pytest.approx(
        summary(LINES, {})["avg_at_n"]["value"], abs=1e-12
    )


def test_k_beyond_n_is_an_error():
    with pytest.raises(ConfigError, match="--k 5 must be from 1 to 4"):
        summary(LINES, {}, ks=(5,))


def test_no_samples_have_no_summary():
    with pytest.raises(ValueError, match="no samples"):
        summary([], {})


def test_nothing_judged_is_undefined():
    found = summary([line("p", "timeout"), line("q", "grader_error")], {})
    assert found["pass_at_k"] == {}
    assert found["avg_at_n"]["value"] is None
    assert found["unusable_rate"]["value"] == 1.0


def test_countdown_is_replayed_and_split_by_right_and_wrong():
    doubled = (
        "<think> 3 + 5 = 8 : 8 + 7 = 15 no back 3 * 5 = 15 : 15 + 7 = 22 yes </think> <answer> ( 3 * 5 ) + 7 </answer>"
    )
    task = {"numbers": [3, 5, 7], "target": 22}
    lines = [line("p", "correct", **task) | {"completion": doubled}, line("p", "wrong", **task) | {"completion": "no"}]
    found = summary(lines, {}, measures=MEASURES)
    assert found["verified_backtrack"]["value"] == 0.5
    assert found["measures"]["backtracks"] == "backtracks"
    assert summary(lines, {})["measures"] == {}
    assert [found["backtracks"][kind]["value"] for kind in ("all", "right", "wrong")] == [0.5, 1.0, 0.0]


def test_a_measure_is_averaged_over_problems_and_left_out_where_it_does_not_apply():
    """p: (1 + 3) / 2 = 2; q: 5 alone, the other is undefined; the mean of 2 and 5 is 3.5."""
    marks = Measure(
        "marks", {"at": int}, lambda columns, text: float("nan") if text == "-" else len(text) + columns["at"]
    )
    texts = {"p": ("a", "abc"), "q": ("abc", "-")}
    lines = [
        line(name, "wrong", at={"p": 0, "q": 2}[name]) | {"completion": text} for name in texts for text in texts[name]
    ]
    assert summary(lines, {}, measures={"marks": marks})["marks"]["value"] == 3.5
    for odd in (None, "0", [0], 0.5):
        lines[0]["at"] = odd
        assert "marks" not in summary(lines, {}, measures={"marks": marks})
    del lines[0]["at"]
    assert "marks" not in summary(lines, {}, measures={"marks": marks})


def test_what_could_not_be_judged_enters_no_figure_of_form_or_backtracking():
    """A timeout whose text backtracks and whose format was seen, beside a right answer that does neither."""
    back = "<think> 3 + 5 = 8 : 8 + 7 = 15 no back 3 * 5 = 15 : 15 + 8 = 23 no </think>"
    task = {"numbers": [3, 5, 7], "target": 22}
    judged = line("p", "correct", **task, parts={"format": 0.0}) | {"completion": "3 * 5 = 15 : 15 + 7 = 22 yes"}
    lost = line("p", "timeout", **task, parts={"format": 1.0}, tokens=8) | {"completion": back}
    found = summary([judged, lost], {}, measures=MEASURES)
    assert found["format_rate"]["value"] == 0.0
    assert found["backtracks"]["all"]["value"] == 0.0
    assert found["arithmetic_error_rate"]["value"] == 0.0
    assert found["unusable_rate"]["value"] == 0.5
    assert found["mean_tokens"]["value"] == 6.0  # nobody judges how many tokens there are


def evaluated(tmp_path, name, verdicts, **settings):
    lines = [line(problem, verdict, tokens=len(name)) for problem, found in verdicts.items() for verdict in found]
    common = {
        "suite": "s",
        "data_sha256": "d",
        "prompt": "p",
        "prompt_sha256": "h",
        "temperature": 1.0,
        "max_tokens": 9,
    }
    return Evaluated(tmp_path / name, summary(lines, {**common, **settings}), lines)


def test_comparison_by_hand(tmp_path):
    first = evaluated(tmp_path, "a", {"p": ["correct"], "q": ["wrong"], "r": ["wrong"], "s": ["wrong"]})
    second = evaluated(tmp_path, "bb", {"p": ["wrong"], "q": ["correct"], "r": ["correct"], "s": ["wrong"]})
    found = compare(first, second)
    assert (found.num_problems, found.only_first, found.only_second) == (4, 1, 2)
    assert found.pass_at_1.difference.value == pytest.approx(1 / 4, abs=1e-12)
    assert found.pass_at_1.method == "exact McNemar"
    assert found.pass_at_1.p_value == 1.0  # 2 * P(X <= 1 of 3) = 2 * 4/8
    assert found.tokens.difference.value == 1.0
    assert {flip.problem for flip in found.flips} == {"p", "q", "r"}


def test_several_samples_are_compared_by_bootstrap(tmp_path):
    first = evaluated(tmp_path, "a", {str(n): ["wrong", "wrong"] for n in range(20)})
    second = evaluated(tmp_path, "b", {str(n): ["correct", "wrong"] for n in range(20)})
    found = compare(first, second)
    assert found.pass_at_1.method == "paired cluster bootstrap"
    assert found.pass_at_1.difference.value == 0.5
    assert found.pass_at_1.p_value < 0.01


def test_other_data_or_prompts_are_refused_unless_told(tmp_path):
    first = evaluated(tmp_path, "a", {"p": ["correct"]})
    second = evaluated(tmp_path, "b", {"p": ["wrong"]}, data_sha256="e", prompt="q")
    with pytest.raises(ConfigError) as caught:
        compare(first, second)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("data_sha256 is 'd' in ")
    assert lines[1].startswith("prompt is 'p' in ")
    assert lines[1].endswith("(--force compares all the same)")
    assert compare(first, second, force=True).only_first == 1
    third = evaluated(tmp_path, "c", {"z": ["wrong"]})
    with pytest.raises(ConfigError, match="no problem in common"):
        compare(first, third)


def test_a_timeout_enters_neither_side(tmp_path):
    first = evaluated(tmp_path, "a", {"p": ["correct"], "q": ["timeout"]})
    second = evaluated(tmp_path, "b", {"p": ["correct"], "q": ["correct"]})
    found = compare(first, second)
    assert found.pass_at_1.difference.value == 0.0
    assert found.flips == ()
    assert not math.isnan(found.pass_at_1.p_value)


@pytest.mark.parametrize("is_swapped", [False, True])
def test_the_longer_one_is_compared_with_as_many_tokens_of_the_other(tmp_path, is_swapped):
    """Names of three and of two letters are tokens: k = 1.5, for which p has .5 * 1/2 + .5 * 1."""
    short = evaluated(tmp_path, "ab", {"p": ["correct", "wrong"], "q": ["wrong", "wrong"]}, seed=0)
    long = evaluated(tmp_path, "abc", {"p": ["correct", "correct"], "q": ["wrong", "wrong"]}, seed=0, ban=["back"])
    found = compare(*((long, short) if is_swapped else (short, long)))
    assert found.is_second_longer is not is_swapped
    assert found.differs == {"ban": (["back"], None) if is_swapped else (None, ["back"])}
    assert (found.equal_tokens.tokens, found.equal_tokens.k) == (3.0, 1.5)
    assert (found.equal_tokens.searcher, found.equal_tokens.guesser) == (0.5, 0.375)


def test_what_was_banned_as_a_token_may_still_be_spelled_and_is_counted():
    texts = ["b ack", "no back", "(back)", "backwards", None]
    lines = [line(str(n), "wrong", completion=text) for n, text in enumerate(texts)]
    assert summary(lines, {"ban": ["back", "a.k"]})["banned_rate"]["value"] == 2 / 5
    assert "banned_rate" not in summary(lines, {"ban": None})
