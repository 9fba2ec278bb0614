"""Chat messages are read as the text that they hold, or refused: never graded or asked as their Python text."""

import json

import pytest
from support.commands import errors

from doubleback.eval.suites.suite import load_suite
from doubleback.recipes.tasks.math.task import Math
from doubleback.rewards.answers.messages import completion_text, question_text
from doubleback.rewards.builtin.format import think_answer_format
from doubleback.rewards.types import ConfigError

EXACT = "<think> a </think> <answer> 3 + 4 </answer>"
USER = {"role": "user", "content": "2 + 2?"}
ASKED = [USER]
PARTS = [{"type": "text", "text": "<think> a </think>"}, {"type": "text", "text": " <answer> 3 + 4 </answer>"}]
IMAGE = [{"type": "image", "image": "x.png"}]


def said(content):
    return [USER, {"role": "assistant", "content": content}]


@pytest.mark.parametrize(("content", "text"), [(EXACT, EXACT), (PARTS, EXACT), (None, ""), ([], "")])
def test_a_completion_may_be_chat_messages(content, text):
    assert completion_text(said(content)) == completion_text(text) == text
    assert think_answer_format([said(content)]) == [float(text == EXACT)]


@pytest.mark.parametrize("completion", [said(IMAGE), said({"a": 1}), {"content": EXACT}, [], [EXACT], None, 3])
def test_what_holds_no_text_is_no_completion(completion):
    with pytest.raises(ValueError, match=r"neither text nor|no text|not text"):
        completion_text(completion)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2 + 2?", "2 + 2?"),
        (ASKED, "2 + 2?"),
        ([{"role": "user", "content": [{"text": "2 + 2?"}]}], "2 + 2?"),
        (4, "4"),
    ],
)
def test_a_question_may_be_one_message_of_the_user(value, text):
    assert question_text(value) == text


SYSTEM = {"role": "system", "content": "Be short."}
ANSWERED = {"role": "assistant", "content": "4"}
CANNOT = "one that can be asked has a system message first or none"
BAD = [
    ([ANSWERED], f"the question is a conversation of 1 messages (assistant); {CANNOT}"),
    ([USER, SYSTEM, USER], f"the question is a conversation of 3 messages (user, system, user); {CANNOT}"),
    ([USER, {"role": "tool", "content": "4"}, USER], "the question is a conversation of 3 messages (user, tool, user)"),
    ([USER, {"role": "assistant", "content": None}, USER], "message 2 of the question says nothing"),
    ([{"role": "user", "content": None}], "message 1 of the question says nothing"),
    ([{"role": "user", "content": IMAGE}], "the content of a message has a part that is no text (image)"),
    ({"text": "2 + 2?"}, "the question is dict, neither text nor a chat message"),
    (["2 + 2?"], "the question is list, neither"),
    (True, "the question is bool, neither"),
]


@pytest.mark.parametrize(("value", "message"), BAD)
def test_another_conversation_is_refused_by_its_row(tmp_path, value, message):
    """By the task and by a suite alike."""
    path = tmp_path / "rows.jsonl"
    rows = [{"question": ASKED, "answer": "4"}, {"question": value, "answer": "4"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for read in (
        lambda: Math(name="math", train=str(path), test=str(path)).splits(),
        lambda: load_suite("gsm8k", path),
    ):
        with pytest.raises(ConfigError) as caught:
            read()
        assert f"rows.jsonl:2: {message}" in str(caught.value)


def test_a_question_of_one_message_is_asked_as_its_text(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"question": ASKED, "answer": "4"}) + "\n", encoding="utf-8")
    (item,) = load_suite("gsm8k", path).items
    assert item.question == item.columns["question"] == "2 + 2?"
    others = [{"question": f"{n} + 0?", "answer": str(n)} for n in range(2)]
    (problem,) = Math(name="math", train=others, test=str(path), validation_problems=1).splits().test
    assert problem.prompt == "2 + 2?"


def test_a_question_keeps_the_messages_before_it(tmp_path):
    """By the task and by a suite alike; the same last message in another conversation is another question."""
    path = tmp_path / "rows.jsonl"
    turns = [SYSTEM, USER, ANSWERED, {"role": "user", "content": "And doubled?"}]
    rows = [{"question": turns[start:], "answer": "8"} for start in (0, 1, 3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    items = load_suite("gsm8k", path).items
    assert [item.history for item in items] == [tuple(turns[:3]), tuple(turns[1:3]), ()]
    others = [{"question": f"{n} + 0?", "answer": str(n)} for n in range(2)]
    problems = Math(name="math", train=others, test=str(path), validation_problems=1).splits().test
    assert [(problem.id, problem.prompt, problem.history) for problem in problems] == [
        (item.id, "And doubled?", item.history) for item in items
    ]
    assert {problem.columns["question"] for problem in problems} == {"And doubled?"}


def test_score_refuses_a_completion_that_is_no_text(run, tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"completion": said(content), "answer": "4"} for content in (PARTS, IMAGE)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    code, _, err = run("score", path, "--reward", "format")
    (line,) = errors(err)
    assert (code, "rows.jsonl:2: the content of a message has a part that is no text (image)" in line) == (2, True)
