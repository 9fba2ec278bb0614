"""An OpenAI-compatible server on loopback that is strict: a field that it does not know is refused by its name."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from support.servers.loopback import Handler, serving

KNOWN = frozenset({"model", "n", "temperature", "max_tokens", "seed", "stop", "prompt", "messages"})


@dataclass
class Server:
    url: str = ""
    owned_by: str = "somebody"
    known: frozenset[str] = KNOWN
    refusal: int = 400
    """The status with which an unknown field is refused."""
    altered: Callable[[dict[str, Any]], Any] = lambda answer: answer
    """What is sent in the place of the answer: an object, or the bytes of the body."""
    altered_list: Callable[[dict[str, Any]], Any] = lambda listed: listed
    """The same of the list of models."""
    status: int = 200
    """With which that list is sent."""
    moved: str | None = None
    """Where every request for completions is sent on to, if anywhere."""
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    """The body of every request for completions."""
    headers: list[Mapping[str, str]] = field(default_factory=list)
    """Of every request, names in lower case."""
    lock: Lock = field(default_factory=Lock)


@contextmanager
def served_openai() -> Iterator[Server]:
    told = Server()
    with serving(_Handler, told=told) as url:
        told.url = f"{url}/v1"
        yield told


class _Handler(Handler):
    told: Server

    def do_GET(self):
        self._note()
        model = {"id": "tiny", "object": "model", "created": 0, "owned_by": self.told.owned_by}
        listed = {"object": "list", "data": [model]} if self.path == "/v1/models" else {}
        self.send(self.told.status, self.told.altered_list(listed))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._note()
        with self.told.lock:
            self.told.asked.append(body)
        if self.told.moved is not None:
            self.send(307, {}, Location=self.told.moved)
            return
        if unknown := sorted(body.keys() - self.told.known):
            self.send(self.told.refusal, {"error": {"message": f"{unknown[0]}: extra fields not permitted"}})
            return
        choices = [{"index": i, "finish_reason": "stop", **self._said(body)} for i in range(body["n"])]
        usage = {"prompt_tokens": 3, "completion_tokens": 4 * body["n"], "total_tokens": 3 + 4 * body["n"]}
        answer = {"id": "a", "object": "x", "created": 0, "model": "tiny", "choices": choices, "usage": usage}
        self.send(200, self.told.altered(answer))

    def _said(self, body):
        ids = {"token_ids": [1, 2, 3, 4]} if body.get("return_token_ids") else {}
        if "messages" in body:
            return {"message": {"role": "assistant", "content": "#### 3"}, **ids}
        return {"text": "#### 3", "logprobs": None, **ids}

    def _note(self):
        with self.told.lock:
            self.told.headers.append({name.lower(): value for name, value in self.headers.items()})
