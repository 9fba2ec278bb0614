"""A real HTTP server on loopback, in threads of this process."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Answers in JSON, and says nothing on the terminal."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send(self, status: int, answer: Any, **headers: str) -> None:
        """`answer` as JSON, or the bytes that it is, under that name all the same."""
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(handler: type[Handler], **attributes: Any) -> Iterator[str]:
    """Requests are answered by `handler`, whose instances have the attributes; yields the server's address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Serving", (handler,), attributes))
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02}).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
