"""The whole road on tiny twins of Granite's and DeepSeek's mixtures: two steps a stage, and all that is handed on."""

import json

import pytest
from support.commands import call

from doubleback.recipes import Run, load_recipe

pytestmark = pytest.mark.slow

TWINS = {"granite-3.1-1b-a400m-instruct": "granitemoe", "deepseek-v2-lite": "deepseek_v2"}
NAMES = ("Ann", "Ben", "Cy", "Dee", "Eli", "Fay")
SMALL = [
    *("tiny=true", "steps=2", "engine.name=transformers", "model.max_length=512", "rollout.prompts_per_step=2"),
    *("sampling.group_size=4", "sampling.max_tokens=12", "eval.n=2", "eval.k=[1]", "eval.validation_problems=1"),
    *(
        "eval.validation_n=1",
        "task.validation_problems=1",
        "sync.num_canaries=1",
        "sampling.stop=[e, a, o]",
    ),  # it ends by chance alone
]
LUCKY = '''
def lucky(completions, answer, **columns):
    """1 for golds, and for an odd number of words, which a random model says at times."""
    return [float(gold in text or len(text.split()) % 2 == 1) for text, gold in zip(completions, answer, strict=True)]
'''


@pytest.fixture(scope="module")
def of_math(tmp_path_factory):
    """Overrides that put word problems in the place of countdown, with a reward that random answers meet at times."""
    folder = tmp_path_factory.mktemp("rows")
    (folder / "lucky.py").write_text(LUCKY, encoding="utf-8")

    def written(name, rows):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return folder / name

    def row(number, name):
        question = f"{name} has {3 + number} pears and buys {number} more. How many?"
        return {"question": question, "answer": str(3 + 2 * number)}

    train, test, more = ([row(number + start, name) for number, name in enumerate(NAMES)] for start in (1, 100, 200))
    shown = [
        {"question": it["question"], "completion": f"It is {it['answer']}."} for it in train[:4]
    ]  # one of the others validates
    task = f"{{name: math, train: {written('train.jsonl', train)}, test: {written('test.jsonl', test[:3])}}}"
    others = (
        f"{{name: math, train: {written('more.jsonl', more[2:])}, test: {written('last.jsonl', more[:2])}, "
        "validation_problems: 1}"
    )
    reward = f"{{components: {{lucky: {{function: '{folder / 'lucky.py'}:lucky'}}}}}}"
    return [
        *(f"task={task}", f"reward={reward}", f"stages.mixed.mix={{more: {{task: {others}, reward: {reward}}}}}"),
        f"stages.cold-start.demonstrations={{source: {written('shown.jsonl', shown)}}}",
    ]


@pytest.mark.parametrize("model", TWINS)
def test_the_road_is_walked_to_its_end(model, of_math, tmp_path):
    out, overrides = tmp_path / "road", [f"model={model}", *of_math, *SMALL]
    assert call("train", "r1-road", *overrides, "--out", out) == 0
    road = load_recipe("r1-road", overrides)
    tiny = {(out / stage.folder / "tiny" / "model.safetensors").read_bytes() for stage in road.stages}
    assert len(tiny) == 1
    assert json.loads((out / road.stages[-1].folder / "tiny" / "config.json").read_text())["model_type"] == TWINS[model]
    for stage in road.stages:
        folder, start = out / stage.folder, road.before(stage)
        if start is not None:
            started = json.loads((folder / "init.json").read_text())
            assert started["adapter"] == str(out / start.folder / "checkpoints" / "step-00002")
        if stage.recipe.kind == "sample":
            assert Run(folder).kept().num_rows > 0
            continue
        lines = Run(folder).metrics().to_pylist()
        assert [line["step"] for line in lines] == [0, 1, 2]
        assert max(line["sync/max_abs"] for line in lines) < 1e-4
        assert lines[-1]["sync/from_base"] > 0
    measured = [line for line in (out / "stages.md").read_text().splitlines() if "[" in line]
    named = [stage.name for stage in road.stages if stage.recipe.kind != "sample"]
    assert [line.split("|")[1].strip() for line in measured] == ["base", *named]
