"""How PEFT lays out the adapter of fused experts. Shapes: E experts, R rank, I inputs, O outputs."""

from torch import Tensor


def per_expert(a: Tensor, b: Tensor, num_experts: int) -> tuple[Tensor, Tensor]:
    """A (E, R, I) and B (E, O, R) of every expert: views of PEFT's tensors, not copies.

    PEFT keeps A as (E * R, I), experts outermost, and B as (O, R * E), experts innermost. With E = 3 and R = 2 the rows
    of A belong to the experts 0 0 1 1 2 2, the columns of B to the experts 0 1 2 0 1 2:

        expert 1 has rows 2 and 3 of A, columns 1 and 4 of B
    """
    a_ERI = a.view(num_experts, -1, a.shape[-1])
    b_EOR = b.view(b.shape[0], -1, num_experts).permute(2, 0, 1)
    return a_ERI, b_EOR
