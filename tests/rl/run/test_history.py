"""A run that goes on deletes what it wrote and nothing else, stumbles over nothing, and says what of it is gone."""

import gzip
import json

import pytest

from doubleback.rewards.types import ConfigError
from doubleback.rl.run.directory import RunDirectory
from doubleback.rl.run.names import checkpoint_steps
from doubleback.rl.run.state import in_words, lost_history

LAST = 4


def samples(step):
    return gzip.compress(json.dumps({"step": step, "problem": "a"}).encode() + b"\n")


@pytest.fixture
def run(tmp_path):
    """A run of four steps."""
    made = RunDirectory(tmp_path)
    lines = [{"step": step, **({"rollout/num_completions": 1.0} if step else {})} for step in range(LAST + 1)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for step in range(1, LAST + 1):
        (tmp_path / "rollouts" / f"step-{step:05d}.jsonl.gz").write_bytes(samples(step))
    for step in (0, 2, 4):
        summary = {"suite": "my-suite", "step": step}
        (tmp_path / "eval" / f"my-suite-step-{step:05d}.json").write_text(json.dumps(summary))
        (tmp_path / "eval" / f"my-suite-step-{step:05d}.jsonl.gz").write_bytes(samples(step))
    return made


def names(run, folder):
    return sorted(path.name for path in (run.path / folder).iterdir())


def test_what_came_after_a_step_is_forgotten(run):
    run.forget_after(2)
    assert names(run, "rollouts") == ["step-00001.jsonl.gz", "step-00002.jsonl.gz"]
    assert names(run, "eval") == [f"my-suite-step-0000{step}{end}" for step in (0, 2) for end in (".json", ".jsonl.gz")]
    assert [line["step"] for line in run.metrics_lines()] == [0, 1, 2]


OTHERS = {
    "rollouts/notes.txt": b"mine",
    "rollouts/step-00009-notes.txt": b"mine",
    "rollouts/step-00009.jsonl.gz": b"no gzip",
    "rollouts/step-00008.jsonl.gz": samples(7),  # a copy of another step's
    "rollouts/step-9.jsonl.gz": samples(9),
    "rollouts/old/step-00009.jsonl.gz": samples(9),
    "rollouts/step-00007.jsonl.gz/a": b"mine",
    "eval/mine-step-00009.json": b"{}",
    "eval/other-step-00004.json": json.dumps({"suite": "my-suite", "step": 4}).encode(),
    "eval/list-step-00009.json": b"[]",
    "eval/.DS_Store": b"\0",
    "checkpoints/step-00009.tmp/mine": b"mine",
    "checkpoints/.mine.tmp": b"mine",
    "checkpoints/step-00008": b"a file",
    "checkpoints/step-7/mine": b"mine",
    ".vscode/settings.json": b"{}",
}


def test_what_lies_beside_is_left_alone(run, tmp_path):
    for name, content in OTHERS.items():
        (run.path / name).parent.mkdir(exist_ok=True)
        (run.path / name).write_bytes(content)
    (run.path / "rollouts" / "step-00006.jsonl.gz").symlink_to(run.path / "rollouts" / "step-00004.jsonl.gz")
    begun = [
        f"{folder}.{name}.0123456789abcdef.tmp" for folder, name in (("", "a"), ("eval/", "b"), ("rollouts/", "c"))
    ]
    for name in begun:
        (run.path / name).write_bytes(b"half")
    run.forget_after(2)
    assert {name: (run.path / name).read_bytes() for name in OTHERS} == OTHERS
    assert (run.path / "rollouts" / "step-00006.jsonl.gz").is_symlink()
    assert not (run.path / "rollouts" / "step-00004.jsonl.gz").exists()
    assert not any((run.path / name).exists() for name in begun)
    assert checkpoint_steps(run.path) == []


def test_a_past_that_is_there_is_not_spoken_of(run):
    assert lost_history(run.path, LAST) == []
    assert lost_history(run.path, -1) == []


def test_what_is_gone_or_torn_is_said(run):
    lines = (run.path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run.path / "metrics.jsonl").write_text("".join([lines[0], lines[3], lines[4], '{"step": 5, "rew']))
    (run.path / "rollouts" / "step-00003.jsonl.gz").unlink()
    assert lost_history(run.path, LAST) == [
        "metrics.jsonl ends in the middle of a line, which is left out: that step is computed again",
        "metrics.jsonl has no line of steps 1 to 2 any more: curves have a gap there, and checkpoint.best and patience "
        "are reckoned without",
        "rollouts/ has no file of step 3 any more",
    ]
    (run.path / "metrics.jsonl").unlink()
    assert lost_history(run.path, LAST)[0].startswith("metrics.jsonl has no line of steps 0 to 4 any more")


def test_a_line_in_the_middle_that_cannot_be_read_is_named(run):
    path = run.path / "metrics.jsonl"
    path.write_text(path.read_text().replace('{"step": 2', '{"step": '))
    with pytest.raises(ConfigError, match=r"metrics\.jsonl:3: .*that file of ours was damaged"):
        lost_history(run.path, LAST)


@pytest.mark.parametrize(
    ("steps", "words"), [([3], "step 3"), ([4, 2, 3], "steps 2 to 4"), ([1, 3, 4, 9], "steps 1, 3 to 4, 9")]
)
def test_steps_are_told_as_ranges(steps, words):
    assert in_words(steps) == words
