"""`kind: distil`: who may be the teacher, that its words arrive, that the student nears it, and resumes exactly."""

import json
import shutil

import pytest
import torch
from support.commands import SMALL_COUNTDOWN, untimed

from doubleback.eval.show.console import Console
from doubleback.recipes import load_recipe, train
from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.pretrain.config import ModelShape
from doubleback.recipes.pretrain.model import make_model
from doubleback.recipes.recipe.assembly import prepare
from doubleback.recipes.recipe.imitation.teacher import open_teacher, require_same_tokenizer
from doubleback.recipes.recipe.start import newest_adapter
from doubleback.recipes.tasks.countdown.lesson import countdown_lesson
from doubleback.recipes.tasks.countdown.pretrain_config import CountdownPretrainConfig
from doubleback.rewards.types import ConfigError
from doubleback.rl.policy.base import load_base, load_tokenizer
from doubleback.rl.policy.lora import restore
from doubleback.rl.types import ModelSource

SMALL = [
    *(
        "kind=distil",
        "engine.name=transformers",
        "checkpoint.every=1",
        "eval.n=1",
        "eval.k=[1]",
        "eval.test_problems=1",
    ),
    *("eval.validation_problems=1", "eval.validation_n=1", "sync.num_canaries=1", *SMALL_COUNTDOWN),
]
COUNTDOWN = bundled_path("bundled:countdown")


def recipe(*overrides):
    return load_recipe("countdown", [*SMALL, *overrides])


def distilled(out, *overrides, resume=False):
    return train(recipe(*overrides), out, resume=resume, console=Console(quiet=True))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A run whose policy is another than its base."""
    small = [item for item in SMALL if not item.startswith(("kind", "sampling.group", "sampling.max", "reward."))]
    settings = load_recipe("countdown-sft", [*small, "steps=2", "optim.lr=0.02", "optim.warmup_steps=0"])
    return train(settings, tmp_path_factory.mktemp("teacher") / "run", console=Console(quiet=True)).path


@pytest.fixture(scope="module")
def whole(teacher, tmp_path_factory):
    overrides = [
        f"distil.teacher={teacher}",
        "steps=4",
        "optim.lr=0.004",
        "optim.max_grad_norm=1.0",
        "optim.warmup_steps=0",
    ]
    return distilled(tmp_path_factory.mktemp("distilled") / "run", *overrides, "rollout.prompts_per_step=32")


@pytest.mark.slow
def test_the_rollouts_hold_what_the_teacher_says_of_each_token(whole, teacher):
    """One by one, by PEFT's own forward pass."""
    model = restore(load_base(ModelSource(COUNTDOWN, "float32", 256)), newest_adapter(teacher))
    tokenizer = load_tokenizer(COUNTDOWN)
    prompts = {row["id"]: row["prompt"] for row in whole.problems().to_pylist()}
    for row in whole.rollouts(1).to_pylist()[:6]:
        prompt = tokenizer(prompts[row["problem"]])["input_ids"]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + row["token_ids"]])).logits[0, len(prompt) - 1 : -1]
        expected = logits.log_softmax(-1)[torch.arange(len(row["token_ids"])), row["token_ids"]].tolist()
        assert row["teacher_logprobs"] == pytest.approx(expected, abs=1e-4)
        assert row["advantage"] == 0.0


@pytest.mark.slow
def test_the_student_nears_its_teacher(whole):
    distances = [line["learner/kl_teacher"] for line in whole.metrics().to_pylist()[1:]]
    assert distances[0] > 0.1
    assert sum(distances[-2:]) / 2 < 0.7 * distances[0]


@pytest.mark.slow
def test_a_run_resumes_exactly_though_the_teachers_run_has_gone_on(whole, teacher, tmp_path):
    ended = shutil.copytree(whole.path, tmp_path / "run")
    shutil.rmtree(ended / "checkpoints" / "step-00004")
    (teacher / "later").touch()
    resumed = train(load_recipe(str(ended / "recipe.yaml")), ended, resume=True, console=Console(quiet=True))
    assert list(map(untimed, resumed.metrics().to_pylist())) == list(map(untimed, whole.metrics().to_pylist()))
    assert resumed.rollouts(4).to_pylist() == whole.rollouts(4).to_pylist()


@pytest.mark.slow
def test_a_dense_student_of_less_than_half_the_size_learns_from_a_mixture(teacher, tmp_path):
    """`doubleback pretrain countdown model.dense_size=384` makes such a one; here before its first step."""
    config = CountdownPretrainConfig(model=ModelShape(dense_size=384))
    lesson, folder = countdown_lesson(config), tmp_path / "dense"
    model = make_model(config, lesson)
    model.save_pretrained(folder)
    lesson.tokenizer(config).save_pretrained(folder)
    assert 2 * model.num_parameters() < load_base(ModelSource(COUNTDOWN, "float32", 256)).num_parameters()
    run = distilled(tmp_path / "run", f"model.path={folder}", f"distil.teacher={teacher}", "steps=1")
    first = run.rollouts(1).to_pylist()[0]
    assert len(first["teacher_logprobs"]) == len(first["token_ids"])
    assert run.metrics().to_pylist()[-1]["learner/kl_teacher"] > 0.1


@pytest.mark.slow
def test_another_teacher_on_resume_is_refused(whole, teacher, tmp_path):
    ended = shutil.copytree(whole.path, tmp_path / "run")
    stored = json.loads((ended / "inputs.json").read_text())
    assert {"the teacher's adapter", "the teacher's base/model.safetensors"} <= stored.keys()
    (ended / "inputs.json").write_text(json.dumps({**stored, "the teacher's adapter": "SHA-256 00"}))
    with pytest.raises(ConfigError, match="--resume: the teacher's adapter is not what the run began with"):
        train(load_recipe(str(ended / "recipe.yaml")), ended, resume=True, console=Console(quiet=True))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["run", "adapter", "folder", "bundled"])
def test_a_teacher_is_a_run_an_adapter_or_a_model(teacher, kind):
    names = {"run": teacher, "adapter": newest_adapter(teacher), "folder": COUNTDOWN, "bundled": "bundled:countdown"}
    settings, sequences = recipe(f"distil.teacher={names[kind]}"), [((1, 5), (6, 7, 8))]
    with (
        prepare(settings) as prepared,
        open_teacher(settings, prepared.teacher, load_tokenizer(COUNTDOWN), "1 2", print) as scores,
    ):
        (found,) = scores(sequences)
    base = load_base(ModelSource(COUNTDOWN, "float32", 256))
    model = base if kind in ("folder", "bundled") else restore(base, newest_adapter(teacher))
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[1, 5, 6, 7, 8]])).logits[0, 1:-1]
    assert found == pytest.approx(logits.log_softmax(-1)[torch.arange(3), [6, 7, 8]].tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "kind=distil has no teacher; name a run, a model or a server: distil.teacher=RUN"),
        (["distil.teacher=http://127.0.0.1:9/v1"], "is a server: say what it calls the teacher, distil.model=NAME"),
        (
            ["distil.teacher=http://127.0.0.1:9/v1", "distil.model=big", "sampling.temperature=0.7"],
            "is a server, whose log-probabilities are of temperature 1, and sampling.temperature=0.7; set that to 1",
        ),
        (
            ["distil.teacher=bundled:countdown", "distil.model=big"],
            "distil.model=big is for an adapter's folder or a",
        ),
        (["distil.teacher=bundled:countdown", "distil.api_key_env=KEY"], "distil.api_key_env=KEY is for a server"),
        (["distil.teacher=./nowhere"], "./nowhere"),
    ],
)
def test_a_teacher_that_is_none_is_one_line(overrides, message):
    with pytest.raises(ConfigError) as caught, prepare(recipe(*overrides)):
        pass
    (line,) = str(caught.value).splitlines()
    assert message in line


def test_an_adapter_for_another_base_is_refused(teacher):
    adapter = newest_adapter(teacher)
    with (
        pytest.raises(ConfigError, match=r"the adapter is for the base .*, and distil takes bundled:countdown-opt"),
        prepare(recipe(f"distil.teacher={adapter}", "distil.model=bundled:countdown-optimal")),
    ):
        pass


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("kind=rl distil.teacher=x", "distil is of kind=distil, and kind=rl; set the second, or leave the first out"),
        ("kind=rl algorithm.teacher_discount=1.0", "algorithm.teacher_discount=1.0 is of kind=distil, and kind=rl"),
        ("trainer=trl", "trainer=trl has no teacher, and kind=distil; leave it out"),
        ("rollout.max_rounds=2", "rollout.max_rounds=2 looks for rewards that differ, and kind=distil learns"),
        ("distil.model=big", "distil.model=big is of a teacher, and none is named: set distil.teacher"),
        ("algorithm.teacher_discount=1.5", "algorithm.teacher_discount"),
    ],
)
def test_what_has_no_meaning_is_refused_in_a_line(overrides, message):
    with pytest.raises(ConfigError) as caught:
        recipe(*overrides.split())
    (line,) = str(caught.value).splitlines()
    assert message in line


class Vocabulary:
    def __init__(self, *tokens, end=0):
        self.tokens, self.eos_token_id = tokens, end

    def get_vocab(self):
        return {token: index for index, token in enumerate(self.tokens)}


def test_tokenizers_that_differ_are_named_by_the_first_token():
    own = Vocabulary("<eos>", "a", "b")
    require_same_tokenizer(own, Vocabulary("<eos>", "a", "b"), "other")
    with pytest.raises(ConfigError, match=r"teacher=other has another tokenizer: token 1 is 'b' there and 'a' here"):
        require_same_tokenizer(own, Vocabulary("<eos>", "b", "a"), "other")
    with pytest.raises(ConfigError, match="token 3 is 'c' there and None here; take a teacher with the student's"):
        require_same_tokenizer(own, Vocabulary("<eos>", "a", "b", "c"), "other")
    with pytest.raises(ConfigError, match="ends a sequence with token 1, the student with 0"):
        require_same_tokenizer(own, Vocabulary("<eos>", "a", "b", end=1), "other")
