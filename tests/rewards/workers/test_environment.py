"""No secret of the host's environment reaches a worker but by its name in the recipe."""

import os
import socket

import pytest

from doubleback.rewards import Completion, Problem, load_reward
from doubleback.rewards.workers.environment import is_secret, visible_environment


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "OPENAI_API_KEY", "apikey")),
        *((name, True) for name in ("DATABASE_PASSWORD", "PGPASSWORD", "GITHUB_TOKEN", "SSH_AUTH_SOCK", "SENTRY_DSN")),
        *((name, True) for name in ("GOOGLE_APPLICATION_CREDENTIALS", "AWS_SESSION_TOKEN", "MY_PRIVATE_KEY", "X_KEY")),
        *((name, False) for name in ("PATH", "HOME", "PYTHONPATH", "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM")),
        *((name, False) for name in ("LD_LIBRARY_PATH", "LANG", "XDG_SESSION_TYPE", "KEYBOARD", "HF_HUB_OFFLINE")),
    ],
)
def test_secrets_are_told_by_their_names(name, expected):
    assert is_secret(name) is expected
    assert (name in visible_environment({name: "x"})) is not expected
    assert name in visible_environment({name: "x"}, named=[name])


def test_a_reward_sees_what_is_no_secret_and_what_the_recipe_names(monkeypatch):
    for name in ("MY_TOKEN", "JUDGE_API_KEY", "MY_SETTING"):
        monkeypatch.setenv(name, "value")

    def sees(completions, **columns):
        return [float(text in os.environ) for text in completions]

    with load_reward({"components": {"sees": sees}, "environment": ["JUDGE_API_KEY"]}) as reward:
        names = ("MY_TOKEN", "JUDGE_API_KEY", "MY_SETTING", "PATH")
        scores = reward(Problem("p", "?"), [Completion(name, (1,), (0.0,), "stop", 0, "", 0) for name in names])
    assert [score.value for score in scores] == [0.0, 1.0, 1.0, 1.0]


def test_files_and_network_are_open_to_a_reward_as_docs_rewards_says(tmp_path):
    """No sandbox is claimed: this holds the page to what it says."""
    (tmp_path / "secret").write_text("mine")
    listener = socket.create_server(("127.0.0.1", 0))
    places = {"file": str(tmp_path / "secret"), "port": listener.getsockname()[1]}

    def reaches(completions, **columns):
        with socket.create_connection(("127.0.0.1", places["port"])) as connection, open(places["file"]) as file:
            return [float(connection.fileno() > 0 and file.read() == "mine")] * len(completions)

    with listener, load_reward({"components": {"reaches": reaches}}) as reward:
        (score,) = reward(Problem("p", "?"), [Completion("a", (1,), (0.0,), "stop", 0, "", 0)])
    assert score.value == 1.0
