"""A base from beginning to end: trained, rounded to bfloat16, scored as rounded, written with its card."""

import math
import time
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import PreTrainedModel

from doubleback.recipes.pretrain.balance import rounded
from doubleback.recipes.pretrain.card import Cost, base_card, measure_base
from doubleback.recipes.pretrain.config import PretrainConfig
from doubleback.recipes.pretrain.lesson import Lesson
from doubleback.recipes.pretrain.loop import train
from doubleback.recipes.pretrain.model import make_model, untied
from doubleback.rewards.types import ConfigError
from doubleback.rl.run.files import whole_folder


def pretrain(config: PretrainConfig, lesson: Lesson, out_dir: Path) -> None:
    """Train a base, score it, and write it to `out_dir`, which must not exist: all of it or nothing.

    The folder holds bfloat16 safetensors, config.json, tokenizer files and the model card README.md.
    """
    if out_dir.exists():
        raise ConfigError(f"{out_dir} exists; remove it or name another folder")
    num_threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        model = make_model(config, lesson)
        cost = _train_with_progress(model, config, lesson)
        with whole_folder(out_dir) as unfinished:
            _write_base(untied(rounded(model)), config, lesson, cost, unfinished)
    finally:
        torch.set_num_threads(num_threads)


def _train_with_progress(model: PreTrainedModel, config: PretrainConfig, lesson: Lesson) -> Cost:
    """Run all steps under a progress bar, and say what they cost."""
    wall_start, cpu_start = time.monotonic(), time.process_time()
    num_tokens, loss = 0, math.nan
    columns = (
        TextColumn("pre-training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}  {task.fields[speed]:,.0f} tokens/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        bar = progress.add_task("steps", total=config.steps, loss=loss, speed=math.nan)
        for step in train(model, config, lesson):
            num_tokens += step.num_tokens
            loss = step.loss if math.isnan(loss) else 0.98 * loss + 0.02 * step.loss
            progress.update(bar, advance=1, loss=loss, speed=num_tokens / (time.monotonic() - wall_start))
    return Cost(
        num_tokens=num_tokens,
        last_loss=loss,
        wall_seconds=time.monotonic() - wall_start,
        cpu_seconds=time.process_time() - cpu_start,
    )


def _write_base(model: PreTrainedModel, config: PretrainConfig, lesson: Lesson, cost: Cost, folder: Path) -> None:
    """Save, score as saved, and state the scores in the card."""
    model.save_pretrained(folder)
    lesson.tokenizer(config).save_pretrained(folder)
    card = base_card(config, lesson, cost, measure_base(folder, config, lesson))
    (folder / "README.md").write_text(card, encoding="utf-8")
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors files are private by default; a base is for everybody
