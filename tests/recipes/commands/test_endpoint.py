"""A policy behind an OpenAI-compatible endpoint: a real vLLM server, a strict one, and one that fails."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from threading import Event
from types import SimpleNamespace

import pytest
import torch
from support.commands import errors
from support.processes import wait_until
from support.servers.openai import served_openai

from doubleback.recipes.commands.progress import standing
from doubleback.rewards.types import Problem, RunError
from doubleback.rl.config import SamplingConfig
from doubleback.rl.engines.endpoint import connection
from doubleback.rl.engines.endpoint import engine as engine_endpoint
from doubleback.rl.engines.endpoint.scorer import EndpointScorer
from doubleback.rl.policy.base import load_base, load_tokenizer
from doubleback.rl.types import ModelSource


@pytest.fixture(scope="module")
def server(text_model, tmp_path_factory):
    """A vLLM server of a tiny chat model: its address and what it calls the model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("server") / "log").open("w+")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_COMPILE_DISABLE": "1", "VLLM_NO_USAGE_STATS": "1"}
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        text_model["qwen3"],
        "--port",
        str(port),
    ]
    options = ["--served-model-name", "tiny", "--dtype", "float32", "--enforce-eager", "--max-model-len", "512"]
    options += ["--kv-cache-memory-bytes", str(128 << 20), "--max-num-seqs", "32"]
    process = subprocess.Popen([*command, *options], stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        wait_until(lambda: process.poll() is not None or is_up(port))
        assert process.poll() is None, (log.seek(0), log.read()[-3000:])
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def is_up(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.mark.slow
def test_an_endpoint_is_measured_like_a_local_model(run, server, questions, tmp_path):
    arguments = ["--suite", "gsm8k", "--data", questions, "--max-tokens", "8", "--n", "2", "--endpoint", server]
    code, text, err = run("eval", "tiny", *arguments, "--thinking", "both", "--out", tmp_path / "chat")
    assert code == 0, err
    assert "paired by problem" in text
    samples = tmp_path / "chat" / "thinking-on" / "samples.jsonl"
    found = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len(found) == 12
    assert all(1 <= line["tokens"] <= 8 for line in found)
    completion = ["--prompt", "gsm8k_hash_4shot", "--limit", "2", "--out", tmp_path / "text"]
    code, _, err = run("eval", "tiny", *arguments, *completion)
    assert code == 2  # the prompt is longer than this server's context: named, and not retried for ever
    code, _, err = run("eval", "tinier", *arguments, "--out", tmp_path / "none")
    assert (code, len(errors(err))) == (2, 1)
    assert "does not serve 'tinier'; it serves tiny" in errors(err)[0]


@pytest.mark.slow
def test_a_teacher_behind_a_server_says_what_its_model_says(server, text_model):
    """Of each given id, prompt and completion apart; and it reads a text as the tokenizer does."""
    tokenizer = load_tokenizer(text_model["qwen3"])
    scorer, text = EndpointScorer(server, "tiny", print), "Ann has 3 beads and buys 4 more."
    scorer.require_tokenizer(tokenizer, text, "none")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    (found,) = scorer([(tuple(ids[:4]), tuple(ids[4:]))])
    scorer.close()
    model = load_base(ModelSource(text_model["qwen3"], "float32", 128))
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0, 3:-1]
    expected = logits.log_softmax(-1)[torch.arange(len(ids) - 4), ids[4:]].tolist()
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_the_command_takes_a_strict_server_and_the_name_of_a_key(run, questions, tmp_path, monkeypatch):
    monkeypatch.setenv("MINE", "sk-mine")
    options = ["--suite", "gsm8k", "--data", questions, "--n", "2", "--max-tokens", "8"]
    with served_openai() as server:
        there = [*options, "--endpoint", server.url]
        code, out, err = run("eval", "tiny", *there, "--api-key-env", "MINE", "--out", tmp_path / "eval")
        assert code == 0, err
        assert "asking without return_token_ids (only vLLM knows it" in " ".join(out.split())
        assert {headers.get("authorization") for headers in server.headers} == {"Bearer sk-mine"}
        code, _, err = run("eval", "tiny", *there, "--api-key-env", "NOWHERE", "--out", tmp_path / "none")
        assert (code, len(errors(err))) == (2, 1)
        assert errors(err)[0].startswith("error: --api-key-env NOWHERE: the environment has no such variable")
    samples = [json.loads(line) for line in (tmp_path / "eval" / "samples.jsonl").read_text().splitlines()]
    assert {line["tokens"] for line in samples} == {None}
    assert "sk-mine" not in "".join(path.read_text() for path in (tmp_path / "eval").glob("*.json*"))
    code, _, err = run("eval", "tiny", *options, "--api-key-env", "MINE", "--out", tmp_path / "none")
    assert (code, errors(err)) == (2, ["error: --api-key-env MINE is for an --endpoint, and none is given"])


class Flaky:
    """An OpenAI client that fails a number of times for each problem."""

    def __init__(self, failures, usage=None):
        self.failures, self.calls, self.usage = failures, {}, usage
        self.completions = self.models = self

    def list(self, extra_headers):
        return SimpleNamespace(data=[SimpleNamespace(id="m", owned_by="vllm")])

    def create(self, prompt, n, **options):
        from openai import APIConnectionError

        self.calls[prompt] = self.calls.get(prompt, 0) + 1
        if self.calls[prompt] <= self.failures:
            raise APIConnectionError(request=None)
        return SimpleNamespace(
            choices=[SimpleNamespace(index=i, text="#### 3", finish_reason="stop") for i in range(n)],
            usage=self.usage,
        )


@pytest.mark.parametrize("failures", [2, 9])
def test_a_failed_request_is_retried_and_named_and_never_dropped(monkeypatch, failures):
    monkeypatch.setattr(engine_endpoint.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(connection, "OpenAI", lambda **options: Flaky(failures))
    retries = []
    engine = engine_endpoint.EndpointEngine("http://nowhere/v1", "m", {}, {}, retries.append)
    sample = lambda: engine.sample([Problem("a", "A"), Problem("b", "B")], SamplingConfig(), [1, 2])  # noqa: E731
    if failures == 9:
        with pytest.raises(RunError, match=r"problem [ab]: the endpoint failed 5 times, at last with Connection error"):
            sample()
        return
    groups = sample()
    assert [group.problem.id for group in groups] == ["a", "b"]
    assert sorted(line[:16] for line in retries) == ["retry: problem a"] * 2 + ["retry: problem b"] * 2


@pytest.mark.parametrize(
    ("usage", "words"),
    [
        # Of 4 completions a problem 2 problems are done: 8 of 12 in 10 s leave 5 s
        (None, "4 running, 0 waiting, 8 of 12 done, about 5 s left"),
        # 40 tokens a problem: 80 in 10 s, 4 more completions of 10 tokens
        (
            SimpleNamespace(completion_tokens=40),
            "4 running, 0 waiting, 8 of 12 done, 80 tokens, 8 tokens/s, about 5 s left",
        ),
    ],
)
def test_how_an_endpoint_stands(monkeypatch, usage, words):
    monkeypatch.setattr(connection, "OpenAI", lambda **options: Flaky(0, usage))
    engine = engine_endpoint.EndpointEngine("http://nowhere/v1", "m", {}, {}, print)
    before, seen, held, goes_on = engine.load(), [], Event(), Event()
    create = engine._client.create

    def hold(prompt, **options):
        if prompt == "C":
            held.set()
            goes_on.wait()
        return create(prompt, **options)

    engine._client.create = hold

    def look(index, group):
        seen.append(index)
        if len(seen) == 2:
            held.wait()
            seen.append(standing(before, engine.load(), 10.0, num_samples=12, max_tokens=100))
            goes_on.set()

    problems = [Problem(name.lower(), name) for name in "ABC"]
    engine.sample(problems, SamplingConfig(group_size=4), [1, 2, 3], on_group=look)
    assert seen[2] == words
    assert engine.load().done == 12
