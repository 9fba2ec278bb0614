"""A stand-in for the model hub: a real HTTP server on loopback with the requests that huggingface_hub makes to push.

What arrives is kept: `repositories[name].files`, by path. It answers as the hub does for a token that may write, one
that may only read, and none.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event

from support.servers.loopback import Handler, serving

TOKEN, READER = "hf_" + "w" * 34, "hf_" + "r" * 34


@dataclass
class Repository:
    is_private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)


@dataclass
class Hub:
    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    """Content of large files, by hash, before a commit names them."""
    requests: list[str] = field(default_factory=list)
    broken: dict[str, int] = field(default_factory=dict)
    """Part of a path -> the status with which it is answered."""
    num_answered: int | None = None
    """After so many requests it says nothing any more, until `goes_on`; None: it answers all."""
    goes_on: Event = field(default_factory=Event)


@contextmanager
def served_hub() -> Iterator[Hub]:
    hub = Hub()
    with serving(_Handler, hub=hub) as hub.url:
        try:
            yield hub
        finally:
            hub.goes_on.set()


class _Handler(Handler):
    hub: Hub

    def do_GET(self):
        self._answer()

    do_POST = do_PUT = do_GET

    def _answer(self):
        body = self._body()
        path = self.path.partition("?")[0]
        self.hub.requests.append(f"{self.command} {path}")
        if self.hub.num_answered is not None and len(self.hub.requests) > self.hub.num_answered:
            self.hub.goes_on.wait()
        status, answer = self._routed(path, body)
        self.send(status, answer, **({"X-Error-Code": "RepoNotFound"} if status == 404 else {}))

    def _routed(self, path, body):
        for part, status in self.hub.broken.items():
            if part in path:
                return status, {"error": "broken on purpose"}
        if path.startswith("/large/"):  # the store of large files: its addresses are signed, without the token
            return self._store_large(path, body)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in (TOKEN, READER):
            return 401, {"error": "Invalid username or password."}
        if self.command == "GET":
            return self._model(path.removeprefix("/api/models/"))
        if token != TOKEN:
            return 403, {"error": "You don't have the rights"}
        return self._written(path, body)

    def _model(self, name):
        found = self.hub.repositories.get(name)
        if found is None:
            return 404, {"error": "Repository not found"}
        return 200, {"id": name, "modelId": name, "private": found.is_private, "siblings": [], "tags": []}

    def _written(self, path, body):
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {**it, "actions": {"upload": {"href": f"{self.hub.url}/large/{it['oid']}"}}}
                for it in json.loads(body)["objects"]
            ]
            return 200, {"objects": objects, "transfer": "basic"}
        owner, name, action, _ = path.removeprefix("/api/models/").split("/")
        repository = self.hub.repositories[f"{owner}/{name}"]
        if action == "preupload":
            modes = [
                (it["path"], "lfs" if it["path"].endswith(".safetensors") else "regular")
                for it in json.loads(body)["files"]
            ]
            return 200, {"files": [{"path": it, "uploadMode": mode, "shouldIgnore": False} for it, mode in modes]}
        assert action == "commit"
        return self._commit(f"{owner}/{name}", repository, [json.loads(line) for line in body.splitlines()])

    def _create(self, asked):
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repositories:
            return 409, {"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"}
        self.hub.repositories[name] = Repository(asked["visibility"] == "private")
        return 200, {"url": f"{self.hub.url}/{name}"}

    def _store_large(self, path, body):
        digest = hashlib.sha256(body).hexdigest()
        if path != f"/large/{digest}":
            return 400, {"error": "other bytes than were announced"}
        self.hub.large[digest] = body
        return 200, {}

    def _commit(self, name, repository, lines):
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                repository.commits.append(value["summary"])
            elif line["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.files[value["path"]] = self.hub.large[value["oid"]]
            else:
                return 400, {"error": f"unknown operation {line['key']}"}
        oid = hashlib.sha1(repr(sorted(repository.files)).encode()).hexdigest()
        return 200, {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/{name}/commit/{oid}"}

    def _body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            return b"".join(self._chunks())
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _chunks(self):
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
