"""One contract for every engine: it samples what it says it sampled, and serves the learner's adapter."""

from collections import Counter
from contextlib import nullcontext

import pytest
import torch
from support.remote.clusters import own_cluster
from support.remote.sides import CLUSTER, POOL, PROCESS, Setup
from support.rollouts import SAMPLING

from doubleback.rewards.types import ConfigError, Problem
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import load_tokenizer
from doubleback.rl.types import ModelSource, Sampling

pytestmark = pytest.mark.slow

BOUND = 5e-5  # nats, float32: the default bound of rl.sync
PROBLEMS = [Problem(f"p{target}", f"3 5 7 -> {target}") for target in (22, 15, 36, 8)]
SEEDS = [11, 222, 3333, 44444]


@pytest.fixture(scope="module", params=[CLUSTER, "transformers", "vllm", PROCESS, POOL])
def setup(request, tiny_model_folder):
    with own_cluster(2) if request.param == CLUSTER else nullcontext() as cluster:
        made = Setup(request.param, str(tiny_model_folder), cluster=cluster)
        yield made
        made.engine.close()


def gap(expected, served):
    return max(abs(a - b) for x, y in zip(expected, served, strict=True) for a, b in zip(x, y, strict=True))


def sequences(groups):
    return [(group.prompt_ids, completion.token_ids) for group in groups for completion in group.completions]


def sampled_logprobs(groups):
    return [completion.sampler_logprobs for group in groups for completion in group.completions]


def test_group_holds_what_was_asked_for(setup):
    sampling = Sampling(3, 1.0, 12)
    groups = setup.engine.sample(PROBLEMS, sampling, SEEDS)
    assert [group.problem for group in groups] == PROBLEMS
    for group, seed in zip(groups, SEEDS, strict=True):
        assert len(group.completions) == 3
        assert [completion.seed for completion in group.completions] == [seed, seed + 1, seed + 2]
        for completion in group.completions:
            assert 1 <= len(completion.token_ids) <= 12
            assert len(completion.sampler_logprobs) == len(completion.token_ids)
            ended = completion.token_ids[-1] == setup.tokenizer.eos_token_id
            assert completion.finish_reason == ("stop" if ended else "length")
            assert "<eos>" not in completion.text


def test_each_group_is_handed_over_once_and_unchanged(setup):
    """What overlapped scoring relies on."""
    handed = []
    sampling = Sampling(3, 1.0, 30)
    twice = [*PROBLEMS, PROBLEMS[0]]  # a problem that stands twice is told apart by its number
    groups = setup.engine.sample(twice, sampling, [*SEEDS, 999], on_group=lambda *group: handed.append(group))
    assert sorted(handed, key=lambda pair: pair[0]) == list(enumerate(groups))


def test_how_it_stands_is_known_while_it_samples_and_to_the_token_behind_it(setup):
    before, seen = setup.engine.load(), []
    groups = setup.engine.sample(PROBLEMS, SAMPLING, SEEDS, on_group=lambda *group: seen.append(setup.engine.load()))
    num_tokens = sum(len(completion.token_ids) for group in groups for completion in group.completions)
    after, num_samples = setup.engine.load(), len(groups) * SAMPLING.group_size
    assert (after.running, after.waiting) == (0, 0)
    assert after.done - before.done == num_samples
    assert after.tokens - before.tokens == after.done_tokens - before.done_tokens == num_tokens
    assert all(load.done - before.done + load.running + load.waiting <= num_samples for load in seen)


def test_routes_are_the_trainers_own_at_every_position(setup):
    """Prompts of one group, and of one beginning, are computed once and shared; their routes must not be missing."""
    beginning = " ".join(str(number % 50) for number in range(280))
    problems = [*PROBLEMS, Problem("long", beginning), Problem("longer", f"{beginning} 7 9 11")]
    groups = setup.engine.sample(problems, Sampling(4, 1.0, 40), [*SEEDS, 5, 6])
    for group in groups:
        for row in group.rows():
            assert row.routes.shape == (len(group.prompt_ids) + len(row.completion.token_ids) - 1, 2, 2)
    assert setup.learner.compare(groups, 1.0, frozenset()).experts_differ == 0


def test_sampler_logprobs_are_the_trainers(setup):
    groups = setup.engine.sample(PROBLEMS, Sampling(4, 1.0, 40), SEEDS)
    assert gap(setup.learner.score(sequences(groups), parts=frozenset()), sampled_logprobs(groups)) < BOUND


def test_sampler_logprobs_are_taken_at_the_temperature(setup):
    groups = setup.engine.sample(PROBLEMS, Sampling(2, 0.6, 20), SEEDS)
    for (prompt, completion), logprobs in zip(sequences(groups), sampled_logprobs(groups), strict=True):
        with torch.no_grad(), setup.learner.model.disable_adapter():
            logits = setup.learner.model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        expected = torch.log_softmax(logits / 0.6, -1).gather(1, torch.tensor(completion)[:, None])[:, 0]
        assert torch.allclose(expected, torch.tensor(logprobs), atol=BOUND, rtol=0)


def test_score_equals_what_was_sampled(setup):
    groups = setup.engine.sample(PROBLEMS, Sampling(2, 1.0, 30), SEEDS)
    assert gap(setup.engine.score(sequences(groups)), sampled_logprobs(groups)) < BOUND


def test_same_seeds_same_samples_and_other_seeds_others(setup):
    sampling = Sampling(4, 1.0, 20)
    first, again = (setup.engine.sample(PROBLEMS, sampling, SEEDS) for _ in range(2))
    other = setup.engine.sample(PROBLEMS, sampling, [seed + 1000 for seed in SEEDS])
    assert first == again
    assert sequences(first) != sequences(other)
    assert len({completion.token_ids for completion in first[0].completions}) > 1


def test_a_sample_depends_on_its_seed_not_on_its_neighbours(setup):
    """What a resumed run needs: sample i of seed s is sample 0 of seed s + i."""
    whole = setup.engine.sample(PROBLEMS[:1], Sampling(3, 1.0, 10), [50])[0]
    shifted = setup.engine.sample(PROBLEMS[:1], Sampling(2, 1.0, 10), [51])[0]
    assert [c.token_ids for c in whole.completions[1:]] == [c.token_ids for c in shifted.completions]


def test_temperature_0_takes_the_likeliest_tokens(setup):
    sampling = Sampling(group_size=1, temperature=0.0, max_tokens=20)
    groups = setup.engine.sample(PROBLEMS, sampling, SEEDS)
    for prompt, completion in sequences(groups):
        with torch.no_grad(), setup.learner.model.disable_adapter():
            logits = setup.learner.model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        assert tuple(logits.argmax(-1).tolist()) == completion


def test_many_long_prompts_keep_their_seeds(setup):
    """More prompt tokens than fit one batch: a prompt that is cut in two must not draw from its seed twice."""
    problems = [Problem(f"long {n}", " ".join(str((n * i) % 50) for i in range(380))) for n in range(1, 31)]
    sampling, seeds = Sampling(2, 1.0, 4), list(range(0, 3000, 100))
    together = sequences(setup.engine.sample(problems, sampling, seeds))
    alone = [
        sequences(setup.engine.sample([p], sampling, [s])) for p, s in zip(problems[::10], seeds[::10], strict=True)
    ]
    assert [pair for group in alone for pair in group] == [*together[:2], *together[20:22], *together[40:42]]


def test_nothing_sampled_before_changes_a_bit(setup):
    """What an evaluation that was killed relies on: log-probabilities too, to the last bit."""
    sampling = Sampling(2, 1.0, 30)
    problems = [Problem(f"long {n}", " ".join(str((n + i) % 50) for i in range(300))) for n in range(3)]
    alone = setup.engine.sample(problems, sampling, SEEDS[:3])
    setup.engine.sample([Problem("other", problems[0].prompt)], sampling, [5])
    assert setup.engine.sample(problems, sampling, SEEDS[:3]) == [*alone]


def test_prompt_beyond_the_context_is_refused_by_name(setup):
    with pytest.raises(ConfigError, match=r"problem p22: prompt of 6 tokens \+ sampling.max_tokens=443 exceeds"):
        setup.engine.sample(PROBLEMS, Sampling(2, 1.0, 443), SEEDS)


def test_prompt_of_words_that_the_model_has_not_is_refused_by_name(setup):
    with pytest.raises(ConfigError, match=r"problem p: the model's tokenizer cannot read the prompt 'How many\?': "):
        setup.engine.sample([Problem("p", "How many?")], Sampling(2, 1.0, 4), [1])


def test_adapter_arrives_and_leaves_the_base_alone(setup):
    before = lora.hash_tensors(setup.base)
    groups = setup.engine.sample(PROBLEMS, Sampling(2, 1.0, 30), SEEDS)
    base_scores = setup.learner.score(sequences(groups), parts=frozenset())
    for version in (1, 2, 3):
        setup.randomise_adapter(seed=version)
        adapter = setup.learner.adapter()
        setup.engine.load_adapter(adapter, version=version)
        expected = setup.learner.score(sequences(groups))
        assert gap(expected, base_scores) > 100 * BOUND
        assert gap(expected, setup.engine.score(sequences(groups))) < BOUND
        sampled = setup.engine.sample(PROBLEMS, Sampling(2, 1.0, 30), SEEDS)
        assert gap(setup.learner.score(sequences(sampled)), sampled_logprobs(sampled)) < BOUND
        stamps = {(c.policy_version, c.adapter_hash) for group in sampled for c in group.completions}
        assert stamps == {(version, adapter.hash)}
    assert lora.hash_tensors(setup.base) == before


def test_long_prompts_forget_the_old_adapter(setup):
    """A prefix cache that survives a push would answer with the keys and values of the adapter before."""
    problems = [Problem("long", " ".join(str(number % 50) for number in range(380)))]
    sampling = Sampling(4, 1.0, 20)
    for version in (4, 5):
        setup.randomise_adapter(seed=version, scale=0.2)
        setup.engine.load_adapter(setup.learner.adapter(), version=version)
        groups = setup.engine.sample(problems, sampling, [7])
        assert gap(setup.learner.score(sequences(groups)), sampled_logprobs(groups)) < BOUND


@pytest.mark.parametrize("name", ["transformers", "vllm"])
@pytest.mark.parametrize("targets", ["attention", "experts"])
def test_partial_adapters_arrive(name, targets, tiny_model_folder):
    made = Setup(name, str(tiny_model_folder), targets)
    made.randomise_adapter(seed=1)
    groups = made.engine.sample(PROBLEMS, Sampling(2, 1.0, 30), SEEDS)
    made.engine.load_adapter(made.learner.adapter(), version=1)
    served = made.engine.score(sequences(groups))
    made.engine.close()
    assert gap(made.learner.score(sequences(groups)), served) < BOUND
    assert gap(made.learner.score(sequences(groups), parts=frozenset()), served) > 100 * BOUND


def test_a_runtime_adapter_arrives_under_a_new_name_each_time(tiny_model_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = Setup("vllm", str(tiny_model_folder), "attention", is_runtime=True)
    problems = [*PROBLEMS, Problem("long", " ".join(str(number % 50) for number in range(380)))]
    sampling, seeds = Sampling(2, 1.0, 30), [*SEEDS, 7]
    groups = made.engine.sample(problems, sampling, seeds)
    assert gap(made.learner.score(sequences(groups), parts=frozenset()), sampled_logprobs(groups)) < BOUND
    for version in (1, 1, 2):
        made.randomise_adapter(seed=len(sampled_logprobs(groups)) + version)
        made.engine.load_adapter(made.learner.adapter(), version=version)
        sampled = made.engine.sample(problems, sampling, seeds)
        assert gap(made.learner.score(sequences(sampled)), sampled_logprobs(sampled)) < BOUND
        assert gap(made.learner.score(sequences(sampled)), made.engine.score(sequences(sampled))) < BOUND
    (folder,) = tmp_path.glob("doubleback-adapter-*")
    assert len(list(folder.iterdir())) == 1
    made.engine.close()
    assert not folder.exists()


def test_vllm_hands_a_group_over_while_others_are_still_sampled(tiny_model_folder, monkeypatch):
    """One problem has room for 300 tokens, the others end early: they must not wait for it."""
    from vllm.v1.engine.llm_engine import LLMEngine

    steps, handed, step = [], [], LLMEngine.step
    monkeypatch.setattr(LLMEngine, "step", lambda engine: steps.append(1) or step(engine))
    made = Setup("vllm", str(tiny_model_folder))
    sampling = Sampling(2, 1.0, 300)
    groups = made.engine.sample(PROBLEMS, sampling, SEEDS, on_group=lambda index, group: handed.append(len(steps)))
    made.engine.close()
    assert len(handed) == len(groups)
    assert handed[0] < handed[-1] == len(steps)


@pytest.mark.parametrize("name", ["transformers", "vllm"])
def test_stop_strings_end_a_completion_and_stay_out_of_its_text(name, tiny_model_folder):
    made = Setup(name, str(tiny_model_folder))
    free = made.engine.sample(PROBLEMS, Sampling(4, 1.0, 60), SEEDS)
    (word, _), *_ = Counter(w for g in free for c in g.completions for w in c.text.split()[3:]).most_common()
    stopped = made.engine.sample(PROBLEMS, Sampling(4, 1.0, 60, (f" {word} ",)), SEEDS)
    made.engine.close()
    num_cut = 0
    for before, after in zip(free, stopped, strict=True):
        for long, short in zip(before.completions, after.completions, strict=True):
            assert short.token_ids == long.token_ids[: len(short.token_ids)]
            assert f" {word} " not in short.text
            if f" {word} " in long.text:
                num_cut += 1
                assert short.finish_reason == "stop"
                assert long.text.startswith(f"{short.text} {word} ")
                assert len(short.token_ids) < len(long.token_ids)
    assert num_cut >= 2


def test_no_bit_of_a_sample_of_vllm_on_a_cpu_depends_on_what_else_is_sampled(tiny_model_folder):
    """In float32; in bfloat16 some do. An evaluation that was killed rests on it, and samples what is missing apart."""
    setup = EngineConfig(name="vllm").setup(ModelSource(str(tiny_model_folder), "float32", 448), has_stop_strings=False)
    engine = create_engine(setup, {}, load_tokenizer(str(tiny_model_folder)))
    problems = [Problem(f"p{target}", f"3 5 7 -> {target}") for target in range(24)]
    seeds = [100 * row for row in range(24)]
    whole = engine.sample(problems, SAMPLING, seeds)
    for rows in ([5], [0, 7, 23], range(3, 20)):
        alone = engine.sample([problems[row] for row in rows], SAMPLING, [seeds[row] for row in rows])
        assert alone == [whole[row] for row in rows]
    engine.close()
