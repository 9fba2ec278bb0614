"""On-policy distillation against the full-vocabulary reverse KL, in float64, every completion enumerated."""

from itertools import product

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from doubleback.rl.learner.batching import Microbatch
from doubleback.rl.learner.layouts import Rectangle
from doubleback.rl.learner.loss import TokenValues, loss_terms
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.kl import towards_teacher
from doubleback.rl.objective.presets import DISTIL

VOCABULARY, LONGEST, END = 3, 3, 0


@pytest.mark.parametrize(
    ("discount", "expected"), [(0.0, [-1.0, 2.0, -3.0]), (0.5, [-0.75, 0.5, -3.0]), (1.0, [-2.0, -1.0, -3.0])]
)
def test_the_example_of_the_docstring(discount, expected):
    """d = [-1, 2, -3] behind a prompt of one column, before padding of one; what stands there is not read."""
    logprobs_BT = tensor([[9.0, -2.0, -3.0, -0.5, 9.0]], dtype=torch.float64, requires_grad=True)
    teacher_BT = tensor([[5.0, -3.0, -1.0, -3.5, 7.0]], dtype=torch.float64)
    mask_BT = tensor([[False, True, True, True, False]])
    found = towards_teacher(logprobs_BT, teacher_BT, mask_BT, discount)
    assert_close(found, tensor([[0.0, *expected, 0.0]], dtype=torch.float64), atol=1e-12, rtol=0)
    assert not found.requires_grad


def completions():
    """Every one: tokens until END, or LONGEST of them."""
    whole = set()
    for tokens in product(range(VOCABULARY), repeat=LONGEST):
        whole.add(tokens[: tokens.index(END) + 1] if END in tokens else tokens)
    return sorted(whole)


PREFIXES = sorted({tokens[:length] for tokens in completions() for length in range(len(tokens))})


def table(seed):
    """Logits of the next token behind each prefix."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(len(PREFIXES), VOCABULARY, generator=generator, dtype=torch.float64)


def logprobs_of(logits, tokens):
    """Of each token of a completion, (T,)."""
    rows = [PREFIXES.index(tokens[:length]) for length in range(len(tokens))]
    return logits[rows].log_softmax(-1)[torch.arange(len(tokens)), list(tokens)]


def gradient(loss, logits):
    (found,) = torch.autograd.grad(loss, logits)
    return found


def of_prefixes(student, teacher):
    """sum over prefixes of the probability to visit it, without gradient, times KL(student || teacher) there."""
    total = torch.zeros((), dtype=torch.float64)
    for row, prefix in enumerate(PREFIXES):
        visited = logprobs_of(student, prefix).sum().exp().detach() if prefix else 1.0
        p, q = student[row].log_softmax(-1), teacher[row].log_softmax(-1)
        total = total + visited * (p.exp() * (p - q)).sum()
    return total


def of_completions(student, teacher):
    """KL(student || teacher) over whole completions."""
    pairs = [(logprobs_of(student, tokens).sum(), logprobs_of(teacher, tokens).sum()) for tokens in completions()]
    return sum(p.exp() * (p - q) for p, q in pairs)


def expected_loss(student, teacher, discount):
    """`loss_terms` on every completion at once, each token of it weighed by how likely the student draws it."""
    rows = completions()

    def padded(values):
        return torch.nn.utils.rnn.pad_sequence(values, batch_first=True)

    logprobs_BT = padded([logprobs_of(student, tokens) for tokens in rows])
    mask_BT = padded([torch.ones(len(tokens), dtype=torch.bool) for tokens in rows])
    likely_B1 = logprobs_BT.detach().sum(-1, keepdim=True).exp()
    micro = Microbatch(
        input_ids_BT=torch.zeros(0),
        target_ids_BT=torch.zeros(0),
        loss_mask_BT=mask_BT,
        sampler_logprobs_BT=logprobs_BT.detach(),
        advantages_B1=torch.zeros(len(rows), 1, dtype=torch.float64),
        weights_BT=likely_B1 * mask_BT,
        rows=tuple(range(len(rows))),
        placement=Rectangle(torch.zeros(0)),
        teacher_logprobs_BT=padded([logprobs_of(teacher, tokens) for tokens in rows]),
    )
    values = TokenValues(logprobs_BT, torch.zeros_like(logprobs_BT), logprobs_BT.detach())
    return loss_terms(micro, values, AlgorithmConfig(**DISTIL, teacher_discount=discount), 0.0).loss


@pytest.mark.parametrize(("discount", "divergence"), [(0.0, of_prefixes), (1.0, of_completions)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_expected_gradient_is_that_of_the_reverse_kl(discount, divergence, seed):
    """Over all 15 completions of at most three tokens of a vocabulary of three, to 1e-12."""
    student, teacher = table(seed).requires_grad_(), table(seed + 100)
    assert len(completions()) == 15
    assert float(logprobs_of(student, (1, 2, 0)).detach().sum()) < 0
    expected = gradient(divergence(student, teacher), student)
    found = gradient(expected_loss(student, teacher, discount), student)
    assert_close(found, expected, atol=1e-12, rtol=0)
    other = gradient((of_completions if discount == 0 else of_prefixes)(student, teacher), student)
    assert float((found - other).abs().max()) > 1e-3


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    student = table(3).requires_grad_()
    for discount in (0.0, 0.5, 1.0):
        found = gradient(expected_loss(student, student.detach(), discount), student)
        assert_close(found, torch.zeros_like(found), atol=0, rtol=0)
