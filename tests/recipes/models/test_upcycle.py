"""A dense model as a mixture of experts: the same function, until noise or an adapter tells the experts apart."""

import json
import math

import pytest
import torch
from support.commands import errors
from support.models.families import make_family_model
from support.models.policies import IDS, logits
from support.rollouts import SAMPLING, random_groups
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from doubleback.recipes import upcycle
from doubleback.recipes.models import experts
from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl.config import LoraSettings, OptimConfig, SyncConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.engines.delivery import choose
from doubleback.rl.learner.batching import assign, make_batch
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora, merging
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.policy.families import family_of
from doubleback.rl.sync import AdapterSync
from doubleback.rl.types import ModelSource

SAME = 1e-5  # nats
ALGORITHM = AlgorithmConfig()
LONG_CONTEXT = {"rope_type": "llama3", "rope_theta": 3e4, "factor": 8.0, "low_freq_factor": 1.0}
LONG_CONTEXT |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 16}
KINDS = {
    "llama, tied": ("llama", {"tie_word_embeddings": True, "rope_parameters": LONG_CONTEXT}),
    "llama": ("llama", {"rms_norm_eps": 1e-3}),
    "qwen3, tied": ("qwen3", {"tie_word_embeddings": True}),
    "qwen3": ("qwen3", {"rope_parameters": {"rope_type": "default", "rope_theta": 3e4}}),
}
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


@pytest.fixture(scope="module")
def make_dense(tmp_path_factory):
    """The folder of a tiny random dense model of one of KINDS, made once; read only."""
    made = {}

    def make(kind):
        if kind not in made:
            name, changes = KINDS[kind]
            made[kind] = make_family_model(name, tmp_path_factory.mktemp("dense"), **changes)
        return made[kind]

    return make


@pytest.fixture
def dense(make_dense):
    return make_dense("llama, tied")


def load(folder, **settings):
    return AutoModelForCausalLM.from_pretrained(folder, **settings).eval()


def logprobs(folder):
    return logits(load(folder, dtype=torch.float32)).log_softmax(-1)


def gap(first, second):
    return float((logprobs(first) - logprobs(second)).abs().max())


def matrices(folder, end):
    """The parameters of the first layer whose name ends so, in float32."""
    [(_, found)] = [it for it in load(folder).named_parameters() if "layers.0." in it[0] and it[0].endswith(end)]
    return found.detach().float()


def learner_on(folder):
    """A learner with an adapter on the experts, and the base's parameters."""
    base = load_base(ModelSource(str(folder), "float32", 128))
    tensors = base_tensors(base)
    model = lora.attach(base, LoraSettings(rank=4, alpha=8.0, targets="experts"), seed=0)
    return Learner(model, ALGORITHM, OptimConfig(lr=1e-2, warmup_steps=0), SAMPLING), tensors


def update(learner):
    groups = assign(random_groups([[1.0, 0.0, 0.1, 1.1], [0.1, 1.1, 0.0, 0.0]]), ALGORITHM)
    learner.update(make_batch(groups, ALGORITHM, SAMPLING))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("num_experts", "top_k"), [(4, 2), (3, 1)])
def test_the_mixture_is_the_dense_models_function(make_dense, tmp_path, kind, num_experts, top_k):
    folder = make_dense(kind)
    report = upcycle(folder, out=tmp_path / "moe", experts=num_experts, top_k=top_k)
    assert gap(tmp_path / "moe", folder) < SAME
    assert report.max_gap < SAME
    moe, plain = load(tmp_path / "moe"), load(folder)
    assert moe.config.model_type == report.family == {"llama": "mixtral", "qwen3": "qwen3_moe"}[KINDS[kind][0]]
    assert (moe.config.num_local_experts, moe.config.num_experts_per_tok) == (num_experts, top_k)
    assert moe.config.tie_word_embeddings == (moe.lm_head.weight is moe.model.embed_tokens.weight) == ("tied" in kind)
    assert (report.num_parameters, report.num_dense) == (moe.num_parameters(), plain.num_parameters())
    one_expert = 3 * 64 * 64  # gate, up and down
    routers = 2 * num_experts * 64
    assert report.num_active == plain.num_parameters() + 2 * (top_k - 1) * one_expert + routers


def test_the_router_is_no_tie_and_noise_does_not_move_it(dense, tmp_path):
    for name, settings in {"a": {}, "b": {"seed": 1}, "noisy": {"noise": 0.1}, "again": {}}.items():
        upcycle(dense, out=tmp_path / name, **settings)
    routers = {name: matrices(tmp_path / name, "gate.weight") for name in ("a", "b", "noisy", "again")}
    assert torch.equal(routers["a"], routers["noisy"])
    assert not torch.equal(routers["a"], routers["b"])
    assert routers["a"].std().item() == pytest.approx(0.02, rel=0.1)
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "again")]
    assert files[0] == files[1]


def test_noise_tells_the_experts_apart_and_none_does_not(dense, tmp_path):
    upcycle(dense, out=tmp_path / "same")
    upcycle(dense, out=tmp_path / "noisy", noise=0.1)
    for end, dense_end in (("experts.down_proj", "mlp.down_proj.weight"), ("experts.gate_up_proj", None)):
        same, noisy = matrices(tmp_path / "same", end), matrices(tmp_path / "noisy", end)
        assert all(torch.equal(same[0], expert) for expert in same)
        added = noisy - same
        assert (added / same.std()).std().item() == pytest.approx(0.1, rel=0.1)
        correlations = torch.corrcoef(added.flatten(1))
        assert (correlations - torch.eye(len(added))).abs().max() < 0.1
        assert dense_end is None or torch.equal(same[0], matrices(dense, dense_end))
    assert 1e-3 < gap(tmp_path / "noisy", dense) < 2


def test_a_model_in_bfloat16_stays_in_bfloat16(dense, tmp_path):
    load(dense, dtype=torch.bfloat16).save_pretrained(tmp_path / "half")
    AutoTokenizer.from_pretrained(dense).save_pretrained(tmp_path / "half")
    report = upcycle(tmp_path / "half", out=tmp_path / "moe", noise=0.0)
    assert load(tmp_path / "moe").dtype == torch.bfloat16
    assert gap(tmp_path / "moe", tmp_path / "half") < SAME
    assert report.max_gap < SAME


@pytest.mark.slow
def test_what_lies_beside_the_weights_travels_along(dense, tmp_path):
    source = tmp_path / "chat"
    model, tokenizer = load(dense), AutoTokenizer.from_pretrained(dense)
    tokenizer.chat_template = TEMPLATE
    model.generation_config.update(eos_token_id=[2, 5], max_new_tokens=77)
    model.save_pretrained(source)
    tokenizer.save_pretrained(source)
    upcycle(source, out=tmp_path / "moe", experts=3, top_k=2, noise=0.01, seed=7)
    kept = AutoTokenizer.from_pretrained(tmp_path / "moe")
    assert (kept.chat_template, kept.get_vocab()) == (TEMPLATE, tokenizer.get_vocab())
    generation = json.loads((tmp_path / "moe" / "generation_config.json").read_text())
    assert (generation["eos_token_id"], generation["max_new_tokens"]) == ([2, 5], 77)
    note = json.loads((tmp_path / "moe" / "upcycling.json").read_text())
    expected = {"source": str(source), "experts": 3, "top_k": 2, "noise": 0.01, "seed": 7, "router_std": 0.02}
    assert {key: note[key] for key in expected} == expected
    assert note["sha256"] == lora.hash_tensors(base_tensors(model))


def test_a_step_with_an_adapter_on_the_experts_tells_them_apart(make_dense, tmp_path):
    upcycle(make_dense("qwen3, tied"), out=tmp_path / "moe")
    learner, tensors = learner_on(tmp_path / "moe")
    update(learner)
    weights = merging.merged(tensors, learner.adapter())
    assert len(weights) == 4  # two matrices of two layers
    for name, weight in weights.items():
        assert all(torch.equal(tensors[name][0], expert) for expert in tensors[name])
        moved = (weight - tensors[name]).flatten(1)
        assert (moved.abs().amax(1) > 1e-4).all(), name
        assert (torch.corrcoef(moved) - torch.eye(4)).abs().max() < 0.9, name


@pytest.mark.parametrize("fault", ["a matrix twice as large", "no number"])
def test_what_computes_something_else_is_not_written(dense, tmp_path, monkeypatch, fault):
    whole = experts.upcycled

    def faulty(*arguments):
        tensors = whole(*arguments)
        name = next(name for name in tensors if name.endswith("down_proj"))
        return tensors | {name: 2 * tensors[name] if fault == "a matrix twice as large" else math.nan * tensors[name]}

    monkeypatch.setattr(experts, "upcycled", faulty)
    with pytest.raises(RunError, match=r"is \S+ nats from the dense model, where noise=0 allows 0.001; nothing is wri"):
        upcycle(dense, out=tmp_path / "moe")
    assert list(tmp_path.iterdir()) == []


def test_a_parameter_without_a_place_is_named(tmp_path):
    make_family_model("llama", tmp_path / "biased")
    config = AutoConfig.from_pretrained(tmp_path / "biased")
    config.attention_bias = True
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "biased")
    with pytest.raises(ConfigError, match=r"layers\.0\.self_attn\.k_proj\.bias is a parameter, but a mixtral model h"):
        upcycle(tmp_path / "biased", out=tmp_path / "moe")
    assert not (tmp_path / "moe").exists()


WORKS = "qwen3 (becomes qwen3_moe), llama (becomes mixtral)"
REFUSED = {
    "moe": ("bundled:countdown", [], "is a mixture of 8 experts already (qwen3_moe); give one of: " + WORKS),
    "kind": ("{gpt2}", [], "is a gpt2 model, which has no mixture; give one of: " + WORKS),
    "window": (
        "{windowed}",
        [],
        "has layers of sliding_attention, qwen3_moe has none; give a model with full",
    ),
    "nowhere": ("./nowhere", [], "model.path=./nowhere: there is no such folder"),
    "exists": ("{dense}", ["--out", "{tmp}"], "{tmp} exists already; choose another folder"),
    "top_k": (
        "{dense}",
        ["--top-k", "5"],
        "upcycle: top_k=5 exceeds experts=4, and a token is sent to no expert",
    ),
    "no top_k": ("{dense}", ["--top-k", "0"], "upcycle: top_k=0: input should be greater than or equal to 1"),
    "one": ("{dense}", ["--experts", "1"], "upcycle: experts=1: input should be greater than or equal to 2"),
    "negative": ("{dense}", ["--experts", "-4"], "upcycle: experts=-4: input should be greater than or equal to 2"),
    "seed": ("{dense}", ["--seed", "-1"], "upcycle: seed=-1: input should be greater than or equal to 0"),
    "noise": ("{dense}", ["--noise", "-0.1"], "upcycle: noise=-0.1: input should be greater than or equal to 0"),
    "nan": ("{dense}", ["--noise", "nan"], "upcycle: noise=nan: input should be a finite number"),
    "inf": ("{dense}", ["--noise", "inf"], "upcycle: noise=inf: input should be a finite number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_upcycled_is_refused_in_one_line(run, dense, tmp_path, case):
    places = {"dense": dense, "tmp": tmp_path, "gpt2": tmp_path / "gpt2", "windowed": tmp_path / "windowed"}
    model, options, said = (
        [word.format(**places) for word in it] if isinstance(it, list) else it.format(**places) for it in REFUSED[case]
    )
    places["gpt2"].mkdir()
    (places["gpt2"] / "config.json").write_text('{"model_type": "gpt2"}')
    places["windowed"].mkdir()
    windows = {"model_type": "qwen3", "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
    (places["windowed"] / "config.json").write_text(json.dumps(windows | {"num_hidden_layers": 2}))
    code, _, err = run("upcycle", model, "--out", tmp_path / "moe", *options)
    (line,) = errors(err)
    assert (code, said in line) == (2, True), line
    assert not (tmp_path / "moe").exists()


def test_the_command_says_what_it_wrote_and_how_exact_it_is(run, dense, tmp_path):
    code, out, err = run("upcycle", dense, "--experts", "4", "--top-k", "2", "--out", tmp_path / "moe")
    assert code == 0, err
    (line,) = [line for line in out.splitlines() if line.startswith("logprobs")]
    assert float(line.split()[1]) < SAME
    assert f"upcycled 2 layers of {dense}, 4 experts in each, a token is sent to 2" in out
    assert AutoConfig.from_pretrained(tmp_path / "moe").num_local_experts == 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama, tied", "qwen3"])
def test_vllm_serves_the_dense_models_function_and_then_the_adapter_on_the_experts(make_dense, tmp_path, kind):
    upcycle(make_dense(kind), out=tmp_path / "moe")
    learner, tensors = learner_on(tmp_path / "moe")
    known = family_of(learner.model.config)
    strategy = choose("auto", lora.targets(learner.model), known, "vllm", is_cuda=False, dtype="float32")
    setup = EngineConfig(kv_cache_mib=64).setup(ModelSource(str(tmp_path / "moe"), "float32", 128), strategy)
    engine = create_engine(setup, tensors, load_tokenizer(str(tmp_path / "moe")))
    try:
        sequences = [(tuple(row[:1].tolist()), tuple(row[1:].tolist())) for row in IDS]
        expected = logprobs(make_dense(kind))[:, :-1].gather(-1, IDS[:, 1:, None]).squeeze(-1)
        assert float((torch.tensor(engine.score(sequences)) - expected).abs().max()) < SAME
        sync = AdapterSync(engine, learner, sequences, SyncConfig(), "float32")
        update(learner)
        receipt = sync.push()
    finally:
        engine.close()
    assert receipt.max_abs < 5e-5
    assert receipt.moved > 100 * receipt.mean_abs
