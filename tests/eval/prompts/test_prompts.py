"""Prompts say what they promise: their examples are right, and their answers are found in the form they ask for."""

import re

import pytest

from doubleback.eval.prompts.prompt import fill, load_prompt, messages, shipped_prompts
from doubleback.eval.prompts.rendering import prompted, prompted_for_endpoint, thinking_switch
from doubleback.eval.suites.suite import Item
from doubleback.rewards.answers.extract import Style, extract
from doubleback.rewards.types import ConfigError, Problem

ANSWERS = {
    "gsm8k_cot_8shot": ["480", "78", "148", "184", "200", "35", "76", "13"],
    "gsm8k_hash_4shot": ["36", "400", "4", "6950"],
}
REST = "text: '{question}'\ndescription: d\nstyle: boxed"


def examples(name):
    text = load_prompt(name).text
    return re.findall(r"Question: ([^\n]+)\nAnswer: (.*?)(?=\n\nQuestion:)", text, re.DOTALL)


def test_shipped_prompts_load():
    assert set(shipped_prompts()) == {"plain", "gsm8k_cot_8shot", "gsm8k_hash_4shot", "r1", "r1_zero", "boxed"}
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


def test_thinking_is_asked_for_in_words_only_without_a_switch():
    prompt = load_prompt("r1")
    said = messages(prompt, "Why?", True, has_own_switch=False)
    assert [message["role"] for message in said] == ["system", "user"]
    assert prompt.thinking_on in said[0]["content"]
    assert prompt.thinking_off in messages(prompt, "Why?", False, has_own_switch=False)[0]["content"]
    assert prompt.thinking_on not in messages(prompt, "Why?", True, has_own_switch=True)[0]["content"]
    assert messages(prompt, "Why?", None, has_own_switch=False)[0]["content"] == prompt.system
    with pytest.raises(ConfigError, match="--thinking off: the model has no switch for it, and the prompt no words"):
        messages(load_prompt("plain"), "Why?", False, has_own_switch=False)


@pytest.mark.parametrize(
    ("template", "switch"),
    [
        ("{% if enable_thinking %}<think>{% endif %}", "enable_thinking"),
        ("{%- if thinking %}", "thinking"),
        ({"default": "x", "tools": "{{ enable_thinking }}"}, "enable_thinking"),
        ("Reply without rethinking.", None),
        (None, None),
    ],
)
def test_the_switch_of_a_template_is_found(template, switch):
    assert thinking_switch(template) == switch


class Tokenizer:
    """One that adds a beginning-of-sequence token, like many, with a template that writes it as well."""

    chat_template, bos_token, bos_token_id = "{% if thinking %}", "<s>", 1

    def __call__(self, text):
        return {"input_ids": [1]}

    def apply_chat_template(self, conversation, tokenize, add_generation_prompt, **options):
        return f"<s>{options}" + "".join(message["content"] for message in conversation)


def test_the_template_gets_its_switch_and_no_second_beginning():
    found = prompted([Item("a", "Why?", {"answer": "1"})], load_prompt("boxed"), Tokenizer(), thinking=False)
    assert found.switch == "thinking"
    assert found.problems[0].prompt.startswith("{'thinking': False}Why?")
    assert found.problems[0].columns["thinking"] is False


@pytest.mark.parametrize(
    ("thinking", "mode", "options", "switch"),
    [
        (None, {}, {}, None),
        (True, {"thinking": True}, {"enable_thinking": True, "thinking": True}, "chat_template_kwargs"),
    ],
)
def test_an_endpoint_gets_the_conversation_and_every_name_of_the_switch(thinking, mode, options, switch):
    items = [Item("a", "Why?", {"question": "Why?", "answer": "1"})]
    prompt = load_prompt("boxed")
    asked = prompted_for_endpoint(items, prompt, thinking)
    assert asked.conversations == {"a": messages(prompt, "Why?", thinking, has_own_switch=True)}
    assert asked.problems == (Problem("a", fill(prompt, "Why?"), {"question": "Why?", "answer": "1", **mode}),)
    assert (asked.template_options, asked.switch) == (options, switch)
    assert prompted_for_endpoint(items, load_prompt("plain"), None).conversations == {}  # text, to be continued


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("kind: chat\ntext: no hole\ndescription: d\nstyle: boxed", "holds {question} 0 times"),
        ("kind: talk\ntext: '{question}'\ndescription: d\nstyle: boxed", "kind='talk': input should be"),
        (f"kind: completion\nsystem: Think.\n{REST}", "kind=completion and system='Think.'"),
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
