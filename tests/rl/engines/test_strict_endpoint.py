"""An endpoint that refuses what it does not know, that answers nonsense, and that must not see another's key."""

import pytest
from support.servers.openai import KNOWN, served_openai

from doubleback.rewards.types import ConfigError, Problem, RunError
from doubleback.rl.config import SamplingConfig
from doubleback.rl.engines.endpoint import engine as module
from doubleback.rl.engines.endpoint.engine import EndpointEngine
from doubleback.rl.engines.endpoint.keys import headers_for, key_for

PROBLEMS = [Problem(name, f"{name}?") for name in "abcdef"]
SAMPLING = SamplingConfig(group_size=2)


@pytest.fixture
def server():
    with served_openai() as server:
        yield server


@pytest.fixture
def said():
    return []


@pytest.fixture
def sample(server, said):
    """Sample the problems from the server, as text or as chat."""

    def call(is_chat=False, template_options=None, problems=PROBLEMS, **options):
        chats = {it.id: [{"role": "user", "content": it.prompt}] for it in problems if is_chat}
        engine = EndpointEngine(server.url, "tiny", chats, template_options or {}, said.append, **options)
        try:
            return engine.sample(problems, SAMPLING, range(len(problems)))
        finally:
            engine.close()

    return call


@pytest.mark.parametrize("is_chat", [False, True])
def test_what_only_vllm_knows_is_sent_to_vllm_alone(server, sample, said, is_chat):
    groups = sample(is_chat)
    assert [completion.text for group in groups for completion in group.completions] == ["#### 3"] * 12
    assert all(asked.keys() <= KNOWN for asked in server.asked)
    assert all("stop" not in asked for asked in server.asked)
    assert len(server.asked) == 6
    (line,) = said
    assert line.startswith("asking without return_token_ids (only vLLM knows it")
    assert line.endswith("so that there are no token ids: how many tokens a completion has is not known")
    server.owned_by, server.known = "vllm", KNOWN | {"return_token_ids"}
    groups = sample(is_chat)
    assert {completion.token_ids for group in groups for completion in group.completions} == {(1, 2, 3, 4)}
    assert len(said) == 1


@pytest.mark.parametrize("refusal", [400, 422])
def test_a_field_that_is_refused_by_name_is_left_out_and_said_once(server, sample, said, refusal):
    """A proxy in the name of vLLM: of the requests that are under way at the same time each is asked again."""
    server.owned_by, server.refusal, server.known = "vllm", refusal, KNOWN - {"seed"}
    groups = sample()
    assert [group.problem.id for group in groups] == list("abcdef")
    assert sorted(line.split(" (")[0] for line in said) == ["asking without return_token_ids", "asking without seed"]
    assert "so that there are no seeds: other samples come of the same command" in " ".join(said)
    assert [completion.seed for completion in groups[3].completions] == [3, 4]
    assert sum(asked.keys() <= server.known for asked in server.asked) == 6
    assert len(server.asked) <= 3 * 6


def test_a_field_that_cannot_be_done_without_is_named_and_not_tried_again(server, sample):
    server.known = KNOWN - {"temperature"}
    with pytest.raises(ConfigError, match=r"^problem a: the endpoint refuses it: Error code: 400 .*temperature"):
        sample(problems=PROBLEMS[:1])
    assert len(server.asked) == 1


def test_a_mode_of_thinking_is_asked_of_vllm_alone_and_another_server_sees_no_question(server, sample):
    options = {"is_chat": True, "template_options": {"enable_thinking": False}, "problems": PROBLEMS[:1]}
    for server.owned_by in ("somebody", "openai", None, "VLLM "):
        with pytest.raises(ConfigError) as caught:
            sample(**options)
        assert str(caught.value) == (
            f"--endpoint {server.url} does not say that it is vLLM, which alone is told a mode of thinking "
            "(chat_template_kwargs); leave --thinking out, and set the mode on the server"
        )
    assert server.asked == []
    server.owned_by, server.known = "vllm", KNOWN | {"chat_template_kwargs", "return_token_ids"}
    sample(**options)
    assert [asked["chat_template_kwargs"] for asked in server.asked] == [{"enable_thinking": False}]


def test_a_mode_of_thinking_that_a_vllm_does_not_take_is_refused_and_not_measured_otherwise(server, sample):
    server.owned_by, server.known = "vllm", KNOWN | {"return_token_ids"}
    with pytest.raises(ConfigError, match=r"by that field a mode of thinking is set: leave --thinking out"):
        sample(is_chat=True, template_options={"enable_thinking": False}, problems=PROBLEMS[:1])


def chosen(**changes):
    """The answer with other keys in its second choice."""
    return lambda answer: answer | {"choices": [answer["choices"][0], answer["choices"][1] | changes]}


@pytest.mark.parametrize(
    ("altered", "reason"),
    [
        (lambda answer: answer | {"choices": None}, "its answer has no list of choices"),
        (lambda answer: {"error": "overloaded"}, "its answer has no list of choices but the error overloaded"),
        (lambda answer: {}, "its answer has no list of choices"),
        (lambda answer: b"<html>", "Expecting value"),
        (lambda answer: b'"text"', "its answer has no list of choices"),
        (lambda answer: answer | {"choices": [None, answer["choices"][1]]}, "choice 0 is null"),
        (lambda answer: answer | {"choices": answer["choices"][:1]}, "1 choices instead of 2"),
        (lambda answer: answer | {"choices": ["x", 3]}, "its choices are not numbered from 0 to 1"),
        (chosen(index=0), "its choices are not numbered from 0 to 1"),
        (chosen(index=None), "its choices are not numbered from 0 to 1"),
        (chosen(text=None), "choice 1 has no text, and ended for the reason 'stop'"),
        (chosen(text=["a"]), "choice 1 has no text, and ended for the reason 'stop'"),
        (chosen(finish_reason=None), "choice 1 ended for the reason None"),
        (chosen(finish_reason="error"), "choice 1 ended for the reason 'error'"),
        (chosen(token_ids=["a"]), "choice 1 has token_ids that are no list of numbers"),
        (chosen(token_ids=[True]), "choice 1 has token_ids that are no list of numbers"),
        (chosen(index=True), "its choices are not numbered from 0 to 1"),
        (lambda answer: b"[" * 100_000, "maximum recursion depth exceeded"),
    ],
)
def test_an_answer_that_cannot_be_completions_is_tried_again_and_named(
    server, sample, said, monkeypatch, altered, reason
):
    waits = []
    monkeypatch.setattr(module.time, "sleep", waits.append)
    server.altered = altered
    with pytest.raises(RunError) as caught:
        sample(problems=PROBLEMS[:1])
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"problem a: the endpoint failed 5 times, at last with {reason}")
    assert line.endswith("what is finished is kept: run the same command again to go on")
    assert waits == [1, 2, 4, 8]
    assert said[1].startswith(f"retry: problem a: {reason}")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (None, "choice 1 has no text"),
        ({"role": "assistant", "content": 3}, "choice 1 has no text"),
        ({"role": "assistant", "content": None, "refusal": "no"}, "and ended for the reason 'content_filter'"),
    ],
)
def test_a_message_that_says_nothing_readable_is_named(server, sample, monkeypatch, message, reason):
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    server.altered = chosen(message=message, finish_reason="content_filter")
    with pytest.raises(RunError, match=reason):
        sample(is_chat=True, problems=PROBLEMS[:1])


def test_an_empty_message_is_an_empty_completion_and_thoughts_stand_before_their_answer(server, sample):
    server.altered = chosen(message={"role": "assistant", "content": None})
    assert [it.text for it in sample(is_chat=True, problems=PROBLEMS[:1])[0].completions] == ["#### 3", ""]
    server.altered = chosen(message={"role": "assistant", "content": "4", "reasoning_content": "2 + 2"})
    assert sample(is_chat=True, problems=PROBLEMS[:1])[0].completions[1].text == "<think>2 + 2</think>4"


@pytest.mark.parametrize(
    ("status", "listed", "line"),
    [
        (200, {}, "lists no models; give the address that ends in /v1"),
        (200, b"<html>", "does not answer: Expecting value: line 1 column 1 (char 0); give the address that ends in"),
        (200, {"data": [None, {"id": "big"}]}, "does not serve 'tiny'; it serves None, big"),
        (200, {"data": [{"id": f"m{n:03d}"} for n in range(300)]}, "m018, m019 and 280 more"),
        (200, b"[" * 100_000, "does not answer: maximum recursion depth exceeded"),
        (401, {"error": "who?"}, "name the variable that holds its key: --api-key-env NAME"),
    ],
)
def test_a_server_that_lists_no_such_model_is_named(server, sample, status, listed, line):
    server.status, server.altered_list = status, lambda models: listed
    with pytest.raises(ConfigError) as caught:
        sample()
    assert str(caught.value).startswith(f"--endpoint {server.url} ")
    assert line in str(caught.value)
    assert server.asked == []


KEYS = {"OPENAI_API_KEY": "sk-openai", "MINE": "sk-mine", "EMPTY": ""}


@pytest.mark.parametrize(
    ("url", "variable", "key"),
    [
        ("https://api.openai.com/v1", None, "sk-openai"),
        ("https://eu.api.openai.com/v1", None, "sk-openai"),
        ("https://api.openai.com.evil.org/v1", None, None),
        ("https://notapi.openai.com.org/v1", None, None),
        ("https://evil-api.openai.com@evil.org/v1", None, None),
        ("http://api.openai.com/v1", None, None),
        ("http://127.0.0.1:8000/v1", None, None),
        ("https://router.example/v1", None, None),
        ("https://router.example/v1", "MINE", "sk-mine"),
        ("http://localhost:8000/v1", "MINE", "sk-mine"),
        ("http://127.0.0.2:8000/v1", "MINE", "sk-mine"),
        ("http://[::1]:8000/v1", "MINE", "sk-mine"),
    ],
)
def test_a_key_goes_to_whom_it_belongs(url, variable, key):
    assert key_for(url, variable, KEYS) == key


@pytest.mark.parametrize("url", ["http://10.0.0.7:8000/v1", "http://router.example/v1", "http://localhost.evil.org/v1"])
def test_no_key_goes_over_plain_http_to_another_machine(url):
    with pytest.raises(ConfigError, match=r"is plain http, on which anybody between can read the key of --api-key-env"):
        key_for(url, "MINE", KEYS)


@pytest.mark.parametrize("variable", ["EMPTY", "NOWHERE"])
def test_a_variable_that_holds_no_key_is_named(variable):
    with pytest.raises(ConfigError, match=f"^--api-key-env {variable}: the environment has no such variable"):
        key_for("https://router.example/v1", variable, KEYS)


@pytest.fixture
def account(monkeypatch):
    """An account at OpenAI, as its client reads it from the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-secret")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gateway: gate-secret\nX-Other: other-secret")


def test_another_server_sees_nothing_of_an_account_at_openai(server, sample, account):
    sample(problems=PROBLEMS[:1])
    assert len(server.headers) == 2
    assert "secret" not in str(server.headers)
    assert "sk-" not in str(server.headers)
    assert all("authorization" not in headers for headers in server.headers)


def test_a_server_gets_the_key_that_is_named_for_it(server, sample, account, monkeypatch):
    monkeypatch.setenv("MINE", "sk-mine")
    sample(problems=PROBLEMS[:1], key_variable="MINE")
    assert {headers["authorization"] for headers in server.headers} == {"Bearer sk-mine"}
    assert "secret" not in str(server.headers)


def test_plain_http_to_this_machine_passes_no_proxy(server, sample, monkeypatch):
    """Which could read the key; an https endpoint may have one, through which it is a tunnel."""
    monkeypatch.setenv("MINE", "sk-mine")
    with served_openai() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        sample(problems=PROBLEMS[:1], key_variable="MINE")
        assert proxy.headers == []
    assert {headers["authorization"] for headers in server.headers} == {"Bearer sk-mine"}


def test_no_redirection_is_followed(server, sample, said, monkeypatch):
    """Neither questions nor keys go to a server that nobody named."""
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    with served_openai() as other:
        server.moved = f"{other.url}/completions"
        with pytest.raises(RunError, match=r"problem a: the endpoint failed 5 times, at last with .*307"):
            sample(problems=PROBLEMS[:1])
        assert (other.asked, other.headers) == ([], [])


def test_openai_itself_gets_its_account():
    assert headers_for("https://api.openai.com/v1", "sk-openai", {"OPENAI_CUSTOM_HEADERS": "X-Gateway: g"}) == {}
