"""How evenly what was sampled is spread over the experts: of a step's rollouts, and of an evaluation."""

from collections.abc import Sequence

import numpy as np

from doubleback.rl.objective.balance import Balance, balance, expert_loads
from doubleback.rl.types import Group, GroupRow


def expert_balance(groups: Sequence[Group]) -> list[Balance] | None:
    """The balance of each layer, over the tokens that completions came of: the prompt's last, and all but the last of
    the completion; a prompt that several completions share would else count as often.

    None where no experts are reported, as of a dense model. NaN where those of some completion are, or some of its
    tokens', are not: what is missing may be what is out of balance.
    """
    rows = [(len(group.prompt_ids), row) for group in groups for row in group.rows()]
    routes = [row.routes for _, row in rows if row.routes is not None]
    if not routes:
        return None
    shape = (routes[0].shape[1], routes[0].num_experts)
    if not all(_is_covered(num_prompt, row) for num_prompt, row in rows):
        return [balance([0] * shape[1], 0)] * shape[0]
    loads_LE, num_tokens = np.zeros(shape, np.int64), 0
    for (num_prompt, _), of_row in zip(rows, routes, strict=True):  # at once, a large model's ids would be gigabytes
        experts_NLK = of_row.unpack()[num_prompt - 1 :]
        loads_LE += expert_loads(experts_NLK, of_row.num_experts)
        num_tokens += len(experts_NLK)
    return [balance(load_E, num_tokens) for load_E in loads_LE.tolist()]


def _is_covered(num_prompt: int, row: GroupRow) -> bool:
    return row.routes is not None and row.routes.shape[0] == num_prompt + len(row.completion.token_ids) - 1
