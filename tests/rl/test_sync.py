"""A broken sync stops the run at once and says what the engine serves instead."""

import math

import pytest
from support.fakes import FakeEngine
from support.faulty import Faulty
from support.models.policies import randomised
from support.rollouts import SAMPLING, make_completion

from doubleback.rewards.types import Problem, RunError
from doubleback.rl.config import LoraSettings, OptimConfig, SyncConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.sync import CANARY_CONTEXT, CANARY_SHARE, FEWEST_TOKENS, AdapterSync, draw_canaries
from doubleback.rl.types import ModelSource

CONFIG = SyncConfig(num_canaries=4)
MANY, FEW = 1000, 1
"""Tokens that a step samples: of so many all canaries stay, of so few only what proves least."""
PROBLEMS = [Problem(f"p{target}", f"3 5 7 -> {target}") for target in (22, 15, 36, 8)]
ENGINES = ["transformers", pytest.param("vllm", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=ENGINES)
def engine_and_model(request, tiny_model_folder):
    config = ModelSource(str(tiny_model_folder), "float32", 256)
    base = load_base(config)
    engine = create_engine(
        EngineConfig(name=request.param).setup(config), base_tensors(base), load_tokenizer(config.path)
    )
    model = lora.attach(base, LoraSettings(rank=4, alpha=8.0), seed=0)
    fresh = dict(lora.export(model).tensors)
    yield engine, model, fresh
    engine.close()


@pytest.fixture
def learner(engine_and_model):
    engine, model, fresh = engine_and_model
    lora.load(model, fresh)
    learner = Learner(model, AlgorithmConfig(), OptimConfig(), SAMPLING)
    engine.load_adapter(learner.adapter(), version=0)
    return learner


def move(learner, seed):
    randomised(learner.model, seed)
    learner.step += 1


def make_sync(engine, learner, num_completions=MANY):
    canaries = draw_canaries(engine, PROBLEMS, CONFIG, seed=0, num_completions=num_completions, max_tokens=64)
    return AdapterSync(engine, learner, canaries, CONFIG, "float32")


def test_receipt_measures_what_arrived(engine_and_model, learner):
    sync = make_sync(engine_and_model[0], learner)
    first = sync.push()
    move(learner, seed=1)
    second = sync.push()
    assert (first.version, second.version) == (0, 1)
    assert first.adapter_hash != second.adapter_hash
    assert first.moved == first.from_base == 0.0
    assert second.moved == second.from_base > 1e-2
    assert second.mean_abs <= second.max_abs < 5e-5
    assert all(second.seconds[phase] > 0 for phase in ("sync", "receipt"))


class Counting:
    """A real engine that counts the tokens which it is asked to score."""

    def __init__(self, engine):
        self._engine, self.num_scored = engine, 0

    def score(self, sequences):
        self.num_scored += sum(len(prompt) + len(completion) for prompt, completion in sequences)
        return self._engine.score(sequences)

    def __getattr__(self, name):
        return getattr(self._engine, name)


def test_what_has_not_moved_is_not_measured_again(engine_and_model, learner):
    engine = Counting(engine_and_model[0])
    sync = make_sync(engine, learner)
    move(learner, seed=1)
    moved = sync.push()
    measured = engine.num_scored
    learner.step += 1
    still = sync.push()
    assert engine.num_scored == measured
    assert (still.version, still.adapter_hash, still.moved) == (2, moved.adapter_hash, 0.0)
    assert still.seconds["receipt"] == 0.0
    assert (still.mean_abs, still.max_abs, still.from_base) == (moved.mean_abs, moved.max_abs, moved.from_base)
    group = engine.sample(PROBLEMS[:1], SAMPLING, [0])[0]
    assert {completion.policy_version for completion in group.completions} == {2}
    move(learner, seed=2)
    assert sync.push().moved > 1e-2
    assert engine.num_scored > measured


@pytest.mark.parametrize(
    ("num_completions", "max_tokens", "reason", "step_tokens"),
    [
        (1, 10, "stop", 10),
        (50, 20, "stop", 1000),
        (50, 200, "stop", 3000),
        (50, 200, "length", 10_000),
        (1000, 200, "length", 200_000),
    ],
)
def test_canaries_are_a_share_of_what_a_step_is_expected_to_sample(num_completions, max_tokens, reason, step_tokens):
    """Eight prompts of 3 tokens with two completions of 60 each are 1,008 tokens; who was cut off may go on."""
    completion = make_completion(range(60), finish_reason=reason)
    engine = FakeEngine(lambda problem, seed, num: [completion] * num, prompt_ids=(1, 5, 6))
    problems = [Problem(f"p{row}", "a question") for row in range(9)]
    canaries = draw_canaries(engine, problems, SyncConfig(), 0, num_completions, max_tokens)
    num_scored = sum(len(completion) for _, completion in canaries)
    num_tokens = num_scored + sum(len(prompt) for prompt, _ in canaries)
    assert num_tokens == min(max(CANARY_SHARE * step_tokens, 3 + FEWEST_TOKENS), 1008)
    assert num_scored >= FEWEST_TOKENS


def test_of_long_prompts_canaries_keep_the_end_where_whole_ones_cost_too_much():
    """300 tokens a prompt, 20 a completion, 16 canaries: 5,120 tokens, which are 5 % of 5,120 completions."""
    prompt = tuple(range(300))
    engine = FakeEngine(lambda problem, seed, num: [make_completion(range(20))] * num, prompt_ids=prompt)
    problems = [Problem(f"p{row}", "a question") for row in range(8)]
    drawn = [draw_canaries(engine, problems, SyncConfig(), 0, count, 24) for count in (5120, 5119, 64)]
    assert [canary[0] for canary in drawn[0]] == [prompt] * 16
    assert [canary[0] for canary in drawn[1]] == [prompt[-CANARY_CONTEXT:]] * 16
    assert [(len(before), len(scored)) for before, scored in drawn[2]] == [(CANARY_CONTEXT, 20), (CANARY_CONTEXT, 12)]


@pytest.mark.parametrize("num_completions", [FEW, MANY])
@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("serves the base", "it serves the bare base, without any adapter"),
        ("stale", r"it serves the adapter of an earlier push \(stale\)"),
        ("no experts", "it serves the adapter without its expert part"),
        ("no attention", "it serves the adapter without its attention part"),
        ("half", "it serves none of the policies we know"),
    ],
)
def test_broken_sync_is_named(engine_and_model, learner, fault, cause, num_completions):
    faulty = Faulty(engine_and_model[0], fault)
    sync = make_sync(faulty, learner, num_completions)
    if fault == "stale":
        move(learner, seed=1)
        sync.push()
    move(learner, seed=2)
    with pytest.raises(RunError, match=rf"step \d: the adapter did not reach the engine: .*{cause}"):
        sync.push()


class Stuck:
    """An engine that scores a sequence as it once did."""

    def __init__(self, sequences, scores):
        self._scores = dict(zip(sequences, scores, strict=True))

    def load_adapter(self, adapter, version):
        """It never arrives."""

    def score(self, sequences):
        return [self._scores[sequence] for sequence in sequences]


class Several:
    """Two engines, of which the fleet is told what each has proven."""

    def __init__(self, engines):
        self.engines, self.settled = engines, []

    def load_adapter(self, adapter, version):
        for engine in self.engines.values():
            engine.load_adapter(adapter, version)

    def score(self, sequences):
        return next(iter(self.engines.values())).score(sequences)

    def score_each(self, sequences, of=None):
        return {who: it.score(sequences) for who, it in self.engines.items() if of is None or who in of}

    def settle(self, proof, judged):
        self.settled.append((proof, judged))


@pytest.mark.slow
@pytest.mark.parametrize("num_completions", [FEW, MANY])
@pytest.mark.parametrize("names", [("sound", "broken"), ("broken", "sound")])
@pytest.mark.parametrize("fault", ["stale", "nan"])
def test_one_engine_of_several_that_has_no_receipt_is_named_and_the_worst_of_the_others_counts(
    engine_and_model, learner, num_completions, names, fault
):
    """However few the canaries: each scores all of them."""
    engine = engine_and_model[0]
    canaries = draw_canaries(engine, PROBLEMS, CONFIG, seed=0, num_completions=num_completions, max_tokens=64)
    scores = engine.score(canaries)
    broken = Stuck(canaries, scores)
    several = Several({name: engine if name == "sound" else broken for name in names})
    sync = AdapterSync(several, learner, canaries, CONFIG, "float32")
    sync.push()
    assert [judged for _, judged in several.settled] == [{}, dict.fromkeys(names, "")]
    move(learner, seed=1)
    if fault == "nan":
        broken.score = lambda sequences: [(math.nan,) * len(completion) for _, completion in sequences]
    assert sync.push().max_abs < 5e-5
    proof, judged = several.settled[-1]
    assert judged["sound"] == ""
    assert "the adapter did not reach broken: on 98% of the canary tokens" in judged["broken"]
    cause = "cannot be compared: not every log-probability is finite" if fault == "nan" else "it serves the bare base"
    assert cause in judged["broken"]
    assert proof.fault(engine.score(canaries)) == ""
    assert proof.fault(scores).startswith("does not serve the adapter: log-probabilities differ by up to")
    assert "not every log-probability is finite" in proof.fault([(math.nan,) * len(row) for row in scores])


def test_where_no_engine_of_several_has_a_receipt_the_run_stops(engine_and_model, learner):
    engine = engine_and_model[0]
    canaries = draw_canaries(engine, PROBLEMS, CONFIG, seed=0, num_completions=MANY, max_tokens=64)
    stuck = [Stuck(canaries, engine.score(canaries)) for _ in range(2)]
    sync = AdapterSync(Several({"one": stuck[0], "two": stuck[1]}), learner, canaries, CONFIG, "float32")
    move(learner, seed=1)
    with pytest.raises(RunError, match=r"the adapter did not reach one: .* it serves .*bare base"):
        sync.push()


def test_each_engine_of_several_computes_the_bare_base_or_is_named(engine_and_model, learner):
    engine = engine_and_model[0]
    canaries = draw_canaries(engine, PROBLEMS, CONFIG, seed=0, num_completions=MANY, max_tokens=64)
    other = Stuck(canaries, [(-1.0,) * len(completion) for _, completion in canaries])
    with pytest.raises(RunError, match="disagree on the bare base, before any adapter, by two: 98%"):
        AdapterSync(Several({"one": engine, "two": other}), learner, canaries, CONFIG, "float32")


def test_engine_that_computes_another_model_is_refused_before_training(engine_and_model, learner):
    engine = engine_and_model[0]
    move(learner, seed=3)
    engine.load_adapter(learner.adapter(), version=1)  # so the "bare base" it should serve is none
    with pytest.raises(RunError, match="trainer and engine disagree on the bare base"):
        make_sync(engine, learner)


NOT_FINITE = "of the canary tokens .*cannot be compared: not every log-probability is finite"


def test_one_nan_before_any_adapter_is_refused(engine_and_model, learner):
    with pytest.raises(RunError, match=f"disagree on the bare base.* {NOT_FINITE}"):
        make_sync(Faulty(engine_and_model[0], "nan", good_pushes=0), learner)


def test_one_nan_after_a_push_is_refused_and_fits_no_policy(engine_and_model, learner):
    """All but one of the tokens are the adapter's own: neither the guard nor the diagnosis may look past that one."""
    sync = make_sync(Faulty(engine_and_model[0], "nan"), learner)
    with pytest.raises(RunError, match=f"{NOT_FINITE}.* it serves none of the policies we know"):
        sync.push()
