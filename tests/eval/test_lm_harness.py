"""Logs of lm-evaluation-harness become rows, each completion once."""

import pytest

from doubleback.eval.lm_harness import is_lm_harness, rows_from_lm_harness
from doubleback.rewards.jsonl import Row
from doubleback.rewards.types import ConfigError


def log(number, filter_name="strict-match", **more):
    data = {
        "doc_id": number,
        "doc": {"question": "Q?", "answer": "so\n#### 7"},
        "target": "7",
        "arguments": {"gen_args_0": {}},
        "resps": [["It is 7.", "It is 8."]],
        "filtered_resps": ["7"],
        "filter": filter_name,
        "exact_match": 1.0,
    }
    return Row(number + 1, {**data, **more})


def test_each_completion_once_whatever_the_filters():
    rows = rows_from_lm_harness([log(0), log(0, "flexible-extract"), log(1, exact_match=0.0)])
    assert [(row.data["problem"], row.data["sample"], row.data["completion"]) for row in rows] == [
        ("0", 0, "It is 7."),
        ("0", 1, "It is 8."),
        ("1", 0, "It is 7."),
        ("1", 1, "It is 8."),
    ]
    assert rows[0].data["question"] == "Q?"
    assert [row.data["harness_correct"] for row in rows] == [True, True, False, False]
    assert [row.number for row in rows] == [1, 1, 2, 2]


def test_the_gold_is_the_target_or_else_the_documents_answer():
    assert rows_from_lm_harness([log(0, target="")])[0].data["answer"] == "so\n#### 7"
    assert rows_from_lm_harness([log(0, target=7)])[0].data["answer"] == 7
    # The harness writes str(target), also of None.
    assert rows_from_lm_harness([log(0, target="None")])[0].data["answer"] == "so\n#### 7"


def test_a_log_is_known_by_its_fields():
    assert is_lm_harness(log(0).data)
    assert not is_lm_harness({"completion": "x", "answer": "1"})


@pytest.mark.parametrize(
    ("more", "verdict"),
    [
        ({"exact_match": 0}, False),
        ({"exact_match": True}, True),
        ({"exact_match": "False"}, False),  # json.dumps(numpy.bool_(False), default=str)
        ({"exact_match": None, "acc": 1.0}, True),
        ({"exact_match": None}, None),
        ({"exact_match": float("nan")}, None),
        ({"exact_match": 0.5}, None),
        ({"exact_match": [1, 2]}, None),
    ],
)
def test_only_a_plain_yes_or_no_is_a_verdict(more, verdict):
    assert rows_from_lm_harness([log(0, **more)])[0].data["harness_correct"] is verdict


def test_several_requests_of_a_document_are_samples_too():
    rows = rows_from_lm_harness([log(0, resps=[["one", "two"], ["three"]])])
    assert [(row.data["sample"], row.data["completion"]) for row in rows] == [(0, "one"), (1, "two"), (2, "three")]


def test_a_document_that_stands_twice_is_named():
    with pytest.raises(ConfigError, match="line 9: doc_id=0 stands on line 1 already"):
        rows_from_lm_harness([log(0), Row(9, log(0).data)])


@pytest.mark.parametrize("field", ["doc_id", "doc", "resps", "filter"])
def test_a_field_that_a_later_line_lacks_is_named(field):
    later = {key: value for key, value in log(1).data.items() if key != field}
    with pytest.raises(ConfigError, match=rf"^line 2: .*\b{field}\b"):
        rows_from_lm_harness([log(0), Row(2, later)])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"doc": None}, "line 1: doc=None is no row of a dataset"),
        ({"resps": []}, "line 1: resps holds no list of completions"),
        ({"resps": [[["-1.5", "False"]], [["-2.5", "True"]]]}, "line 1: resps holds no list of completions"),
        ({"resps": [[1]]}, "line 1: resps holds no list of completions"),
        ({"doc": {}, "target": ""}, r"line 1: neither target nor doc\.answer holds the gold"),
    ],
)
def test_a_malformed_line_is_named(more, message):
    with pytest.raises(ConfigError, match=message):
        rows_from_lm_harness([log(0, **more)])
