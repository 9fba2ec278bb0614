"""Each data set of the table on rows of its schema, made by hand: questions, golds, levels, and every row left out."""

import json

import pytest
from support.paths import DATA

from doubleback.recipes import load_recipe
from doubleback.recipes.data.table import shipped_data
from doubleback.rewards.answers.grade import gold_answers
from doubleback.rewards.types import ConfigError

WORDS = ["Ann has 3 pens and buys 4.", "Bo had 9 cups and broke 2.", "Cy cuts 8 m of rope in half."]


def dapo(question, answer, **other):
    own = {"data_source": "math_dapo", "source_prompt": [{"role": "user", "content": f"Solve: {question}"}]}
    reward = {"ground_truth": answer, "style": "rule-lighteval/MATH_v2"}
    return {"prompt": question, "solution": answer, **own, "ability": "MATH", "reward_model": reward, **other}


def deepscaler(question, answer):
    return {"problem": question, "answer": answer, "solution": "By counting."}


def openr1(question, answer, kind="math-word-problem"):
    texts = {"solution": "As follows.", "generations": ["<think>...</think>" * 3], "uuid": "u", "source": "olympiads"}
    return {"problem": question, "answer": answer, "problem_type": "Algebra", "question_type": kind, **texts}


def big_math(question, answer):
    return {"problem": question, "answer": answer, "source": "cn_k12", "domain": ["A"], "llama8b_solve_rate": 0.5}


def of_math(question, solution, level):
    return {"problem": question, "solution": solution, "level": level, "type": "Algebra"}


def olympiad(question, answers):
    kind = {"is_multiple_answer": len(answers) > 1, "unit": None, "answer_type": "Numerical", "error": None}
    return {"id": 1, "subfield": "Algebra", "question": question, "final_answer": answers, "context": None, **kind}


def svamp(body, asked, answer):
    own = {"Equation": "( 3.0 + 4.0 )", "Type": "Addition", "question_concat": f"{body} {asked}"}
    return {"ID": "chal-1", "Body": body, "Question": asked, "Answer": answer, **own}


UNSCORABLE, TWICE, ONLY = "task.drop_unscorable=true", "task.duplicates=skip", "task.only"
SCHEMAS = {
    "gsm8k": (
        [
            {"question": WORDS[0], "answer": "She has 3 + 4 = <<3+4=7>>7.\n#### 7"},
            {"question": WORDS[1], "answer": "9 - 2 = 7 dozen.\n#### 1,007"},
        ],
        ["7", "1007"],
        {},
    ),
    "svamp": (
        [svamp(WORDS[0], "How many?", "7"), svamp(WORDS[1], "And left?", 3.5)],
        ["7", "3.5"],
        {},
    ),
    "math": (
        [
            of_math("Find $x$.", "So $x=\\boxed{\\frac{1}{2}}$ at first, then $\\boxed{\\sqrt{3}}$.", "Level 2"),
            of_math("Find $y$.", "It is $\\fbox{4}$.", "Level ?"),
            of_math("Find $z$.", "It is clearly 5.", "Level 5"),
            of_math("Find $w$.", "Well, $\\boxed{6}$.", "Level 4"),
        ],
        ["\\sqrt{3}", "4", "6"],
        {UNSCORABLE: 1},
    ),
    "dapo-math-17k": (
        [dapo("Find $m+n$.", "34"), dapo("Find $k$.", "-1"), dapo("Find $m+n$.", "34")],
        ["34", "-1"],
        {TWICE: 1},
    ),
    "deepscaler": (
        [deepscaler("Find $a$.", "\\frac{3}{4}"), deepscaler("Find $b$.", ""), deepscaler("Find $c$.", None)],
        ["\\frac{3}{4}"],
        {UNSCORABLE: 2},
    ),
    "openr1-math": (
        [
            openr1("Find $a$.", "x^{2}+1"),
            openr1("Which is it?\nA) 1 B) 2", "B", "MCQ"),
            openr1("Prove it.", "proof", "proof"),
        ],
        ["x^{2}+1"],
        {ONLY: 2},
    ),
    "big-math": (
        [big_math("Find $a$.", "(0, 1]"), big_math("Find $a$.", "(0, 1]"), big_math("Find $b$.", "12\\pi")],
        ["(0, 1]", "12\\pi"],
        {TWICE: 1},
    ),
    "olympiadbench": (
        [olympiad("Find all $n$.", ["1,8,19"]), olympiad("Which?", ["2"])],
        ["1,8,19", "2"],
        {},
    ),
}


@pytest.fixture
def recipe(tmp_path):
    """A recipe on a data set whose training rows are given; one question of another kind is tested."""

    def on(name, rows, *overrides):
        for part, lines in (("train", rows), ("test", [{**rows[0], **_asked(name, "Which one is tested?")}])):
            (tmp_path / f"{part}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        files = [f"task.{part}={tmp_path / part}.jsonl" for part in ("train", "test")]
        return load_recipe("math", [f"data={name}", *files, "task.validation_problems=1", *overrides])

    return on


def _asked(name, question):
    field = load_recipe("math", [f"data={name}"]).task.question
    return {("Question" if "{" in field else field): question}


def test_every_data_set_has_rows_here():
    assert set(SCHEMAS) == set(shipped_data())


@pytest.mark.parametrize("name", SCHEMAS)
def test_rows_of_its_schema_give_questions_and_golds(recipe, name):
    rows, golds, left_out = SCHEMAS[name]
    more = [{**rows[0], **_asked(name, f"What is number {n}?")} for n in range(2)]
    task = recipe(name, [*rows, *more]).task
    splits = task.splits()
    trained = [problem for problem in [*splits.train, *splits.validation] if "number" not in problem.prompt]
    order = {line: number for number, line in enumerate(golds)}
    found = [gold_answers(problem.columns["answer"])[0] for problem in trained]
    assert sorted(found, key=order.__getitem__) == golds
    assert {reason: len(lines) for reason, lines in splits.skipped.items()} == left_out
    assert all(problem.prompt == problem.columns["question"] for problem in trained)
    assert all(gold in task.gold(problem) for gold, problem in zip(found, trained, strict=True))


def test_a_question_of_two_fields_is_one_text(recipe):
    splits = recipe("svamp", SCHEMAS["svamp"][0]).task.splits()
    assert {problem.prompt for problem in [*splits.train, *splits.validation]} == {
        f"{WORDS[0]} How many?",
        f"{WORDS[1]} And left?",
    }


def test_levels_are_numbers_and_an_unknown_one_is_the_highest(recipe):
    splits = recipe("math", SCHEMAS["math"][0], "problems.level=level").task.splits()
    levels = {problem.prompt: problem.columns["level"] for problem in [*splits.train, *splits.validation]}
    assert levels == {"Find $x$.": 2, "Find $y$.": 4, "Find $w$.": 4}
    with pytest.raises(ConfigError, match=r"task.level=type: no row of task.train=\S+ states a whole number there"):
        recipe("math", SCHEMAS["math"][0], "task.level=type").task.splits()


def test_long_texts_are_left_on_the_way_and_the_rest_goes_to_rewards(recipe):
    rows = [openr1("Find $a$.", "1"), openr1("Find $b$.", "2"), openr1("Find $c$.", "3")]
    (problem, *_) = recipe("openr1-math", rows).task.splits().train
    assert set(problem.columns) == {"problem", "answer", "question", "question_type", "source", "problem_type"}
    (problem, *_) = recipe("openr1-math", rows, "task.keep=null").task.splits().train
    assert "generations" in problem.columns


def test_a_solution_without_the_mark_is_never_taken_for_a_gold(recipe):
    """Without task.gold_form the whole solution would be the gold, which no answer equals."""
    rows = SCHEMAS["math"][0]
    with pytest.raises(
        ConfigError, match=r"train.jsonl:3: no \\boxed in the answer, as task.gold_form=boxed says: .*5"
    ):
        recipe("math", rows, "task.drop_unscorable=false").task.splits()
    golds = [
        problem.columns["answer"] for problem in recipe("math", rows, "task.gold_form=null").task.splits().everything
    ]
    assert "It is clearly 5." in golds


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        (
            "openr1-math",
            ["task.only.question_type=essay"],
            r"no row is left; the first was left out by task.only: \S+:1: ",
        ),
        (
            "deepscaler",
            ["task.answer=anwser"],
            r"no row is left; the first was left out by \S+: \S+:1: no 'anwser'; the row",
        ),
    ],
)
def test_a_key_that_leaves_no_row_is_named(recipe, name, overrides, message):
    with pytest.raises(ConfigError, match=message):
        recipe(name, SCHEMAS[name][0], *overrides).task.splits()


def test_check_counts_what_each_key_left_out(recipe, run, tmp_path, monkeypatch):
    from doubleback.recipes.commands import check

    def stop(*arguments):
        raise ConfigError("no further")

    monkeypatch.setattr(check, "assemble", stop)
    # The bundled tokenizer knows countdown's words alone.
    rows = [deepscaler(f"{n} 1 -> {n + 1}", str(n + 1)) for n in range(1, 7)]
    recipe("deepscaler", [*rows, rows[0], rows[1], deepscaler("7 7 -> 14", ""), deepscaler("8 8 -> 16", "a" * 600)])
    (tmp_path / "test.jsonl").write_text(json.dumps(deepscaler("9 9 -> 18", "18")))
    monkeypatch.chdir(tmp_path)
    files = ["task.train=train.jsonl", "task.test=test.jsonl"]
    small = ["model.path=bundled:countdown", "model.max_length=256", "sampling.max_tokens=64", "task.prompt={question}"]
    own = ["reward.components={math: 1.0}", "task.validation_problems=2"]
    _, out, err = run("check", "math", "data=deepscaler", *files, *small, *own)
    assert err.splitlines()[-1] == "error: no further"
    shown = " ".join(out.split())
    assert "2 rows left out by task.duplicates=skip: train.jsonl:7: the same question as problem" in shown
    assert "1 row left out by task.drop_unscorable=true: train.jsonl:9: answer='' has no gold answer" in shown
    assert "7 of 8 graded correct" in shown


@pytest.mark.parametrize(
    ("name", "file", "test", "number"),
    [
        ("gsm8k", "gsm8k_train.jsonl", "gsm8k_test.jsonl", 7473 + 1319),
        ("svamp", "svamp.jsonl", "0.3", None),
        ("olympiadbench", "olympiadbench_oe_to_maths_en.jsonl", "0.25", None),
    ],
)
def test_the_authors_files_are_read(name, file, test, number):
    if not (DATA / file).is_file():
        pytest.skip(f"{DATA / file} is not at hand")
    tested = test if test[0] == "0" else DATA / test
    splits = load_recipe("math", [f"data={name}", f"task.train={DATA / file}", f"task.test={tested}"]).task.splits()
    rows = sum(1 for part in (file, test) if part.endswith("l") for _ in (DATA / part).open())
    assert len(splits.everything) + sum(map(len, splits.skipped.values())) == rows
    assert number in (None, len(splits.everything))
