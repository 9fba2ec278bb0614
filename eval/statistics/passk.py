"""What k samples of one problem would do, exactly, from n >= k of them: one right, all right, the majority right."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from fractions import Fraction
from math import comb, nan

Ways = Mapping[tuple[int, int], int]
"""(rivals tied with the right answer, samples drawn) -> number of draws."""


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Probability that at least one of k samples drawn without replacement is correct: 1 - C(n-c, k) / C(n, k).

    Unbiased (Chen et al. 2021, arXiv:2107.03374, eq. 1), in exact integers. NaN without samples; ValueError where
    k > num_samples, since it cannot be estimated from them.
    """
    return 1.0 - pass_all_k(num_samples, num_samples - num_correct, k)


def pass_all_k(num_samples: int, num_correct: int, k: int) -> float:
    """Probability that all of k samples drawn without replacement are correct: C(c, k) / C(n, k).

    pass^k of tau-bench (Yao et al. 2024, arXiv:2406.12045) for one problem, unbiased, in exact integers. NaN without
    samples; ValueError where k > num_samples, since it cannot be estimated from them.
    """
    if not 0 <= num_correct <= num_samples:
        raise ValueError(
            f"{num_samples} samples cannot be {num_correct} and {num_samples - num_correct}, right and wrong"
        )
    if num_samples == 0:
        return nan
    return comb(num_correct, k) / _num_draws(num_samples, k)


def maj_at_k(votes: Sequence[Hashable | None], is_correct: Sequence[bool], k: int) -> float:
    """Probability that the most frequent answer among k samples drawn without replacement is right.

    Self-consistency (Wang et al. 2022, arXiv:2203.11171, section 2, majority vote), averaged over all C(n, k) draws in
    exact integers. Equal votes are one answer; all correct ones are one answer too, however they are spelled. A tie is
    broken uniformly among the answers tied; the paper names no rule. None is a missing answer: no vote, even if marked
    correct. A draw without a vote is wrong. NaN without samples; ValueError where k > number of samples or the lengths
    differ.
    """
    if len(votes) != len(is_correct):
        raise ValueError(f"{len(votes)} votes for {len(is_correct)} verdicts; give one of each per sample")
    if not votes:
        return nan
    cast = [(vote, right) for vote, right in zip(votes, is_correct, strict=True) if vote is not None]
    num_right = sum(right for _, right in cast)
    rivals = list(Counter(vote for vote, right in cast if not right).values())
    num_missing = len(votes) - len(cast)
    wins = Fraction(0)
    for winning in range(1, min(num_right, k) + 1):
        wins += comb(num_right, winning) * _ways_to_win(rivals, num_missing, winning, k - winning)
    return float(wins / _num_draws(len(votes), k))


def _num_draws(num_samples: int, k: int) -> int:
    if not 1 <= k <= num_samples:
        raise ValueError(f"k={k} cannot be estimated from {num_samples} samples a problem")
    return comb(num_samples, k)


def _ways_to_win(rivals: Sequence[int], num_missing: int, winning: int, num_drawn: int) -> Fraction:
    """Ways to draw `num_drawn` wrong or missing samples with no rival above `winning`; with i rivals at it, 1/(i + 1).

    Rivals are the numbers of samples of each wrong answer.
    """
    # A rival of fewer samples than `winning` can neither win nor tie: its samples are as harmless as missing ones.
    num_harmless = num_missing + sum(size for size in rivals if size < winning)
    ways: Ways = {(0, 0): 1}
    for size in rivals:
        if size >= winning:
            ways = _with_rival(ways, size, winning, num_drawn)
    return sum(
        (Fraction(num * comb(num_harmless, num_drawn - drawn), ties + 1) for (ties, drawn), num in ways.items()),
        start=Fraction(0),
    )


def _with_rival(ways: Ways, size: int, winning: int, num_drawn: int) -> Ways:
    """The draws so far, each with 0 to `winning` of a rival's `size` samples added, up to `num_drawn` in all."""
    grown: Counter[tuple[int, int]] = Counter()
    for (ties, drawn), num in ways.items():
        for count in range(min(winning, num_drawn - drawn) + 1):
            grown[ties + (count == winning), drawn + count] += num * comb(size, count)
    return grown
