"""Two ways to keep experts in balance while pre-training, on an architecture that can carry both."""

import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from doubleback.recipes.pretrain.balance import BIAS, AuxiliaryLoss, BiasForChoice, OwnLoss, balancing, rounded
from doubleback.recipes.pretrain.config import ModelShape
from doubleback.recipes.pretrain.loop import batches, train
from doubleback.recipes.pretrain.model import make_model, untied
from doubleback.recipes.tasks.countdown.lesson import countdown_lesson
from doubleback.recipes.tasks.countdown.pretrain_config import CountdownPretrainConfig
from doubleback.rl.config import LoraSettings, OptimConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.balance import balance, expert_loads
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.policy.routing import Routers
from doubleback.rl.types import ModelSource, Sampling

SIZES = {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "num_key_value_heads": 1, "expert_size": 32}
SHAPE = ModelShape(architecture="glm4_moe", num_experts=4, num_experts_per_token=1, **SIZES)


def config(**settings):
    return CountdownPretrainConfig(steps=20, warmup_steps=2, tokens_per_batch=256, model=SHAPE, **settings)


def made(settings):
    lesson = countdown_lesson(settings)
    ids_BT, labels_BT = next(batches(settings, lesson))
    return make_model(settings, lesson), lesson, (ids_BT, (ids_BT != 0).long(), labels_BT)


def biases(model):
    return [module.e_score_correction_bias for module in model.modules() if hasattr(module, BIAS)]


def test_the_settings_choose_the_method():
    assert isinstance(balancing(made(config())[0], config()), AuxiliaryLoss)
    assert isinstance(balancing(made(config())[0], config(balance="bias")), BiasForChoice)
    usual = CountdownPretrainConfig()
    assert isinstance(balancing(make_model(usual, countdown_lesson(usual)), usual), OwnLoss)


def test_the_auxiliary_loss_by_hand():
    """experts * sum over experts of (share of tokens that chose it) * (its mean probability), both layers together."""
    model, _, (ids_BT, mask_BT, labels_BT) = made(config())
    mask_BT[:, -3:] = 0  # padding counts for nothing
    logits = []
    for gate in [module for module in model.modules() if hasattr(module, BIAS)]:
        gate.register_forward_hook(lambda module, given, returned: logits.append(returned[0].detach().double()))
    plain = model(input_ids=ids_BT, attention_mask=mask_BT, labels=labels_BT).loss.detach()
    counted = torch.cat(logits)[mask_BT.flatten().repeat(2) > 0]
    chosen = torch.nn.functional.one_hot(counted.argmax(-1), 4).double().mean(0)
    expected = 4 * float(chosen @ counted.softmax(-1).mean(0))
    found = AuxiliaryLoss(model, 0.5).loss(ids_BT, mask_BT, labels_BT)
    assert float(found - plain) == pytest.approx(0.5 * expected, abs=1e-5)


def test_a_bias_moves_by_what_the_step_chose_and_the_loss_is_the_models_own():
    model, _, (ids_BT, mask_BT, labels_BT) = made(config())
    mask_BT[:, -3:] = 0
    gates, chosen = [module for module in model.modules() if hasattr(module, BIAS)], []
    for gate in gates:
        gate.register_forward_hook(lambda module, given, returned: chosen.append(returned[2]))
    spread = BiasForChoice(model, 0.25)
    plain = model(input_ids=ids_BT, attention_mask=mask_BT, labels=labels_BT).loss
    chosen.clear()
    assert_close(spread.loss(ids_BT, mask_BT, labels_BT), plain, atol=0, rtol=0)
    spread.after_step(mask_BT)
    for gate, ids in zip(gates, chosen, strict=True):
        loads = torch.bincount(ids[mask_BT.flatten() > 0].flatten(), minlength=4)
        expected = 0.25 * torch.sign(loads.double().mean() - loads).float()
        assert_close(gate.e_score_correction_bias, expected, atol=0, rtol=0)
        assert expected.abs().sum() > 0


def spread_after(settings):
    """Largest violation of the two layers over ten batches after pre-training."""
    model, lesson, _ = made(settings)
    for _ in train(model, settings, lesson):
        pass
    taps, loads = Routers(model), 0
    with torch.no_grad():
        for _, (ids_BT, _) in zip(range(10), batches(settings, lesson), strict=False):
            model(input_ids=ids_BT, attention_mask=(ids_BT != 0).long())
            loads = loads + expert_loads(taps.chosen()[ids_BT.flatten() != 0].numpy(), 4)
    return max(balance(load, sum(load)).max_violation for load in loads.tolist())


@pytest.mark.slow
def test_either_method_spreads_tokens_and_nothing_does_not():
    torch.set_num_threads(1)
    alone = spread_after(config(balance_coefficient=0))
    assert spread_after(config(balance="bias", balance_rate=0.01)) < alone / 2
    assert spread_after(config(balance_coefficient=1.0)) < alone / 2


def test_a_bias_is_kept_exactly_in_the_checkpoint(tmp_path):
    """In bfloat16 .40123 would be .4004."""
    model, lesson, _ = made(config())
    for bias_E in biases(model):
        bias_E.copy_(torch.tensor([0.40123, -0.2, 0.0, 0.1]))
    rounded(model).save_pretrained(tmp_path)
    lesson.tokenizer(config()).save_pretrained(tmp_path)
    assert model.lm_head.weight.dtype == torch.bfloat16
    for loaded in (
        AutoModelForCausalLM.from_pretrained(tmp_path),
        load_base(ModelSource(str(tmp_path), "float32", 64)),
    ):
        assert [bias_E.tolist() for bias_E in biases(loaded)] == [bias_E.tolist() for bias_E in biases(model)]
        assert biases(loaded)[0].dtype == torch.float32


@pytest.mark.parametrize("name", ["transformers", pytest.param("vllm", marks=pytest.mark.slow)])
def test_who_samples_chooses_experts_by_the_bias_before_and_after_an_adapter_came(name, tmp_path):
    shape = ModelShape(architecture="glm4_moe", num_experts=4, num_experts_per_token=2, **SIZES)
    settings = CountdownPretrainConfig(model=shape)
    model, lesson, _ = made(settings)
    for bias_E in biases(model):
        bias_E.copy_(torch.tensor([0.40123, -0.2, 0.0, 0.1]))
    untied(model).save_pretrained(tmp_path)
    lesson.tokenizer(settings).save_pretrained(tmp_path)
    source = ModelSource(str(tmp_path), "float32", 64)
    base, tokenizer = load_base(source), load_tokenizer(str(tmp_path))
    engine = create_engine(EngineConfig(name=name).setup(source), base_tensors(base), tokenizer)
    policy = lora.attach(base, LoraSettings(rank=4), 0)
    learner = Learner(policy, AlgorithmConfig(), OptimConfig(), Sampling(2, 1.0, 20))
    generator = torch.Generator().manual_seed(0)
    for version in range(3):
        groups = engine.sample(lesson.problems("validation")[:4], Sampling(2, 1.0, 20), range(0, 40, 10))
        assert learner.compare(groups, 1.0).experts_differ == 0
        sequences = [(group.prompt_ids, item.token_ids) for group in groups for item in group.completions]
        for served, own in zip(engine.score(sequences), learner.score(sequences), strict=True):
            assert served == pytest.approx(own, abs=1e-4)
        tensors = learner.adapter().tensors.items()
        moved = {key: 0.1 * torch.randn(tensor.shape, generator=generator) for key, tensor in tensors}
        lora.load(learner.model, moved)
        engine.load_adapter(learner.adapter(), version + 1)
    engine.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"balance": "bias", "model": ModelShape()}, r"balance=bias needs a bias .* set model.architecture=glm4_moe"),
        ({"balance": "bias", "balance_coefficient": 0.5, "model": SHAPE}, "balance_coefficient=0.5 has no effect"),
        ({"balance_rate": 0.5}, "balance_rate=0.5 has no effect with balance=auxiliary; set balance=bias"),
    ],
)
def test_settings_that_do_not_go_together_are_one_line(settings, message):
    with pytest.raises(ValueError, match=message):
        CountdownPretrainConfig(**settings)
