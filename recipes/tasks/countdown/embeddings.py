"""How the numbers of Countdown begin: as waves."""

import math

import torch
from torch import Tensor

from doubleback.recipes.tasks.countdown.tokenizer import FIRST_NUMBER_ID, HIGHEST_WORD

FOURIER_PERIODS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 20, 25, 33, 50, 100, 200)
"""Periods of the number embeddings. Trained models represent numbers so when they add (arXiv:2406.03445)."""
FOURIER_SCALE = 0.05
"""Amplitude of the number embeddings: that of every other weight."""


@torch.no_grad()
def embed_numbers_(embeddings: Tensor) -> None:
    """Write cosines and sines of each number into the first columns of its row, in place (the head shares the rows)."""
    numbers = torch.arange(HIGHEST_WORD + 1, dtype=torch.float32)
    periods = torch.tensor(FOURIER_PERIODS[: embeddings.shape[1] // 2], dtype=torch.float32)
    angles = 2 * math.pi * numbers[:, None] / periods
    features = torch.cat([angles.cos(), angles.sin()], dim=1) * FOURIER_SCALE
    embeddings[FIRST_NUMBER_ID : FIRST_NUMBER_ID + len(numbers), : features.shape[1]] = features
