"""Prompts say what they promise: their examples are right, and their answers are found in the form they ask for."""

import hashlib
import json
import re

import pytest

from doubleback.eval.prompts.prompt import Example, conversation, fill, load_prompt, shipped_prompts, words_for
from doubleback.eval.prompts.rendering import prompted_for_endpoint
from doubleback.eval.suites.suite import Item
from doubleback.rewards.answers.extract import Style, extract
from doubleback.rewards.answers.thinking import find_convention
from doubleback.rewards.types import ConfigError, Problem

ANSWERS = {
    "gsm8k_cot_8shot": ["480", "78", "148", "184", "200", "35", "76", "13"],
    "gsm8k_hash_4shot": ["36", "400", "4", "6950"],
}
ON = {"enable_thinking": True, "thinking": True, "reasoning_effort": "high"}
TURNS = ["user", "assistant"]
REST = "text: '{question}'\ndescription: d\nstyle: boxed"


def examples(name):
    text = load_prompt(name).text
    return re.findall(r"Question: ([^\n]+)\nAnswer: (.*?)(?=\n\nQuestion:)", text, re.DOTALL)


def test_shipped_prompts_load():
    few_shot = {*ANSWERS, "gsm8k_train_5shot", "one_step_2shot", "one_step_4shot", "two_steps_2shot"}
    assert set(shipped_prompts()) == {"answer", "plain", "r1", "r1_zero", "boxed", *few_shot}
    for name in shipped_prompts():
        prompt = load_prompt(name)
        assert prompt.description
        assert fill(prompt, "Why?").count("Why?") == 1


@pytest.mark.parametrize("name", list(ANSWERS))
def test_examples_are_right_and_found_strictly(name):
    found = examples(name)
    assert len({question for question, _ in found}) == len(ANSWERS[name]) == len(found)
    style = Style(load_prompt(name).style)
    assert [extract(answer, style).answer for _, answer in found] == ANSWERS[name]
    for _, answer in found:
        steps = re.findall(r"((?:\d+ [-+*/] )+\d+) = (\d+)", answer)
        assert steps
        for left, right in steps:
            value, *rest = left.split()
            total = float(value)
            for operator, operand in zip(rest[::2], rest[1::2], strict=True):
                number = float(operand)
                total = {"+": total + number, "-": total - number, "*": total * number, "/": total / number}[operator]
            assert total == float(right), left


def test_the_5shot_prompt_is_the_first_five_rows_of_the_training_split():
    """Byte for byte as lm-evaluation-harness puts them; the digest is that of GSM8K's file up to its sixth line."""
    found = examples("gsm8k_train_5shot")
    lines = [json.dumps({"question": question, "answer": answer}, ensure_ascii=False) for question, answer in found]
    digest = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    assert digest == "5cf05b0ccca50349f5f5185a439502ec50117d1021ec7dfce2f09dd2083f9a25"
    assert [extract(answer, Style.HASH).answer for _, answer in found] == ["72", "10", "5", "42", "624"]
    prompt = load_prompt("gsm8k_train_5shot")
    assert prompt.text.endswith("#### 624\n\nQuestion: {question}\nAnswer:")
    assert prompt.stop == ["Question:", "</s>", "<|im_end|>"]


def test_no_example_is_used_twice():
    questions = [question for name in ANSWERS for question, _ in examples(name)]
    assert len(set(questions)) == len(questions) == 12


@pytest.mark.parametrize("name", list(ANSWERS))
def test_a_model_that_goes_on_is_stopped_before_the_next_question(name):
    stops = load_prompt(name).stop
    text = " 2 + 2 = 4. The answer is 4.\n\nQuestion: And then?"
    assert min(text.find(stop) for stop in stops if stop in text) == text.index("\n\nQuestion")


def test_a_question_is_put_in_as_it_is():
    question = "Is {x} in {question} or \\boxed{}?"
    assert fill(load_prompt("plain"), question) == question
    assert question in fill(load_prompt("boxed"), question)


def test_thinking_is_asked_for_in_words_where_there_is_no_switch():
    prompt = load_prompt("r1")
    for mode in (True, False):
        system, user = conversation(prompt, "Why?", words=words_for(prompt, mode))
        words = (prompt.thinking_on if mode else prompt.thinking_off).replace("{opening}", "<think>")
        assert system["content"] == f"{prompt.system}\n{words.replace('{closing}', '</think>')}"
        assert user["role"] == "user"
    assert conversation(prompt, "Why?")[0]["content"] == prompt.system
    with pytest.raises(ConfigError, match="thinking off: the model has no switch for it, and the prompt no words"):
        words_for(load_prompt("plain"), False)


def test_a_prompt_names_the_marks_of_the_convention_and_leaves_those_of_the_question():
    prompt = load_prompt("r1")
    said = conversation(prompt, "Is {opening} it?", convention=find_convention("magistral"))[-1]["content"]
    assert "between [THINK] and [/THINK]" in said
    assert said.startswith("Is {opening} it?")
    assert "between <think> and </think>" in fill(prompt, "Why?")
    assert "within <think> </think> and" in fill(load_prompt("r1_zero"), "Why?")


def test_examples_and_earlier_turns_stand_between_system_and_question():
    examples = [Example(question="1 + 1?", answer="\\boxed{2}")]
    prompt = load_prompt("boxed").model_copy(update={"examples": examples, "system": "You count."})
    history = ({"role": "system", "content": "Be short."}, *({"role": role, "content": role} for role in TURNS))
    found = conversation(prompt, "2 + 2?", history)
    assert [turn["role"] for turn in found] == ["system", "user", "assistant", *TURNS, "user"]
    assert found[0]["content"] == "You count.\nBe short."
    assert found[1]["content"] == fill(prompt, "1 + 1?")
    assert found[-1]["content"] == fill(prompt, "2 + 2?")


@pytest.mark.parametrize(
    ("thinking", "mode", "options", "switch"),
    [
        (None, {}, {}, None),
        (True, {"thinking": True}, ON, "chat_template_kwargs"),
    ],
)
def test_an_endpoint_gets_the_conversation_and_every_name_of_the_switch(thinking, mode, options, switch):
    items = [Item("a", "Why?", {"question": "Why?", "answer": "1"})]
    prompt = load_prompt("boxed")
    asked = prompted_for_endpoint(items, prompt, thinking)
    assert asked.conversations == {"a": conversation(prompt, "Why?")}
    assert asked.problems == (Problem("a", fill(prompt, "Why?"), {"question": "Why?", "answer": "1", **mode}),)
    assert (asked.template_options, asked.switch) == (options, switch)
    assert prompted_for_endpoint(items, load_prompt("plain"), None).conversations == {}  # text, to be continued


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("kind: chat\ntext: no hole\ndescription: d\nstyle: boxed", "holds {question} 0 times"),
        ("kind: talk\ntext: '{question}'\ndescription: d\nstyle: boxed", "kind='talk': input should be"),
        (f"kind: completion\nsystem: Think.\n{REST}", "kind=completion and system='Think.'"),
        (f"kind: completion\nexamples: [{{question: a, answer: b}}]\n{REST}", "kind=completion and examples="),
        (f"kind: completion\nthinking_off: Be brief.\n{REST}", "kind=completion and thinking_off='Be brief.'"),
        ("text: '{question}'", "description: this key is required and absent"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_bad_prompt_is_named(tmp_path, content, message):
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_prompt(str(tmp_path / "mine.yaml"))
    assert message in str(caught.value)


def test_an_unknown_prompt_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="prompt 'boxd' is no YAML file and not shipped; did you mean boxed"):
        load_prompt("boxd")
