"""A teacher behind a server: what is asked of it, how its answers are read, and what is refused."""

import json
import math
from threading import Lock

import pytest
from support.servers.loopback import Handler, serving

from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl.engines.endpoint.scorer import EndpointScorer


class Server(Handler):
    """Says of token i that its log-probability is -i / 8, as vLLM does."""

    asked: list
    failures: list
    """Status and answer of the next requests, before it answers as it should."""
    lock: Lock

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.lock:
            self.asked.append((self.path, body))
            failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            self.send(*failure)
        elif self.path == "/tokenize":
            self.send(200, {"count": 2, "max_model_len": 64, "tokens": [len(word) for word in body["prompt"].split()]})
        else:
            self.send(200, answer_to(body["prompt"]))


def answer_to(ids, **changed):
    said = [{str(token): {"logprob": -token / 8, "rank": 1, "decoded_token": "x"}} for token in ids[1:]]
    choice = {"index": 0, "text": "x", "finish_reason": "length", "prompt_logprobs": [None, *said], **changed}
    return {"id": "a", "object": "text_completion", "created": 0, "model": "big", "choices": [choice]}


class Words:
    """A tokenizer whose ids are the lengths of words."""

    def __call__(self, text, add_special_tokens):
        return {"input_ids": [len(word) for word in text.split()]}


@pytest.fixture
def server():
    attributes = {"asked": [], "failures": [], "lock": Lock()}
    with serving(Server, **attributes) as url:
        yield {"url": f"{url}/v1", **attributes}


@pytest.fixture
def said():
    return []


@pytest.fixture
def scorer(server, said):
    scorer = EndpointScorer(server["url"], "big", said.append, pause=0.0)
    yield scorer
    scorer.close()


SEQUENCES = [((1, 8), (5, 6, 2)), ((1,), (7,)), ((1, 3, 4), (2, 2))]


def test_each_completion_has_what_the_server_says_of_its_ids(scorer, server):
    assert scorer(SEQUENCES) == [(-0.625, -0.75, -0.25), (-0.875,), (-0.25, -0.25)]
    bodies = sorted((body for _, body in server["asked"]), key=lambda body: body["prompt"])
    assert [body["prompt"] for body in bodies] == [[1, 3, 4, 2, 2], [1, 7], [1, 8, 5, 6, 2]]
    assert {(path, body["model"], body["max_tokens"], body["prompt_logprobs"]) for path, body in server["asked"]} == {
        ("/v1/completions", "big", 1, 0)
    }


def test_what_fails_is_asked_again_and_said(scorer, server, said):
    server["failures"] += [(503, {"error": "busy"}), (200, answer_to([1, 7], prompt_logprobs=None))]
    assert scorer([SEQUENCES[1]]) == [(-0.875,)]
    assert [line.endswith(end) for line, end in zip(said, ("try 2 of 5", "try 3 of 5"), strict=True)] == [True, True]


@pytest.mark.parametrize(
    "listed",
    [
        None,
        [{"7": {"logprob": -1.0}}],
        [None, {"8": {"logprob": -1.0}}],
        [None, {"7": {"logprob": None}}],
        [None, {"7": {"logprob": True}}],
        [None, {"7": {"logprob": math.nan}}],
        [None, {"7": {"logprob": -math.inf}}],
        [None, {"7": {"logprob": 0.5}}],
        [None, None],
        "none",
    ],
)
def test_an_answer_that_lacks_a_token_is_never_a_number(scorer, server, listed):
    server["failures"] += [(200, answer_to([1, 7], prompt_logprobs=listed))] * 5
    with pytest.raises(RunError, match=r"failed 5 times, at last with its (answer has no )?prompt_logprobs"):
        scorer([SEQUENCES[1]])


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_a_server_that_refuses_is_one_line(scorer, server, status):
    server["failures"] += [(status, {"error": {"message": "prompt_logprobs: extra fields not permitted"}})]
    with pytest.raises(
        ConfigError, match=r"refuses to score tokens \(prompt_logprobs\): .*; serve big with vLLM"
    ) as caught:
        scorer([SEQUENCES[1]])
    assert "\n" not in str(caught.value)


def test_the_tokenizers_are_compared(scorer, server):
    scorer.require_tokenizer(Words(), "3 5 77", "take another")
    assert server["asked"][-1] == ("/tokenize", {"model": "big", "prompt": "3 5 77", "add_special_tokens": False})
    server["failures"] += [(200, {"tokens": [1, 1, 1]})]
    with pytest.raises(ConfigError, match=r"reads '3 5 77' as \[1, 1, 1\], the student as \[1, 1, 2\]; take another"):
        scorer.require_tokenizer(Words(), "3 5 77", "take another")
    server["failures"] += [(404, {"error": "no such place"})]
    with pytest.raises(ConfigError, match="does not say how it reads a text"):
        scorer.require_tokenizer(Words(), "3 5 77", "take another")


def test_a_server_that_is_not_there_is_named(said):
    scorer = EndpointScorer("http://127.0.0.1:9/v1", "big", said.append, pause=0.0)
    with pytest.raises(RunError, match=r"distil\.teacher=http://127\.0\.0\.1:9/v1 failed 5 times"):
        scorer([SEQUENCES[1]])
    scorer.close()
