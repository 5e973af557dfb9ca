"""An HTTP proxy in front of an S3 server that injects faults and counts what passes through."""

import http.client
import random
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Fault = Callable[["Exchange"], None]


@dataclass
class Exchange:
    """A request and its answer, which a fault may change before it is sent.

    cut: how many bytes of the body to send before closing. reset: send nothing and reset the connection.
    silent: send nothing until the client gives up. hold: send half of the body, the rest when it is set.
    """

    method: str
    path: str
    headers: dict[str, str]
    count: int
    """How many requests for this path came before."""
    status: int = 200
    answer: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    reset: bool = False
    silent: bool = False
    hold: threading.Event | None = None

    @property
    def is_list(self) -> bool:
        return "list-type" in self.path

    def is_image(self) -> bool:
        return self.method == "GET" and self.path.endswith("TCI.jp2")

    def error(self, status: int, code: str) -> None:
        """Answer as S3 does when it refuses."""
        self.status = status
        self.body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>".encode()
        self.answer = {"Content-Type": "application/xml"}


class Proxy:
    """Serves on 127.0.0.1. `faults` change each answer in turn; `log` holds (method, path, bytes).

    A request keeps the faults and the log that were there when it arrived: the late answer to a client that
    has given up must not count in the next test.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.faults: list[Fault] = []
        self.before: list[Fault] = []
        """Applied before a request is forwarded; setting a status other than 200 answers it at once."""
        self.log: list[tuple[str, str, int]] = []
        self.counts: dict[str, int] = {}
        self.lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy.serve(self)

            do_HEAD = do_PUT = do_GET

            def log_message(self, *_: Any) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None: ...

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def clear(self) -> None:
        self.faults, self.before, self.log, self.counts = [], [], [], {}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def received(self, ending: str) -> dict[str, int]:
        """Bytes of bodies sent, by path, for paths with this ending."""
        sums: dict[str, int] = {}
        for method, path, count in self.log:
            if method == "GET" and path.endswith(ending):
                sums[path] = sums.get(path, 0) + count
        return sums

    def listed(self) -> list[str]:
        """The prefixes that were listed, in order."""
        found = [path for _, path, _ in self.log if "list-type" in path]
        return [unquote(path.split("prefix=")[1].split("&")[0]) for path in found]

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        with self.lock:
            count = self.counts.get(handler.path, 0)
            self.counts[handler.path] = count + 1
            before, faults, log = self.before, self.faults, self.log
        headers = {name.lower(): value for name, value in handler.headers.items()}
        exchange = Exchange(handler.command, handler.path, headers, count)
        for fault in before:
            fault(exchange)
        if exchange.status == 200 and not exchange.reset:
            self._forward(exchange)
        for fault in faults:
            fault(exchange)
        self._send(handler, exchange, log)

    def _forward(self, exchange: Exchange) -> None:
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        try:
            connection.request(exchange.method, exchange.path, headers=exchange.headers)
            answer = connection.getresponse()
            exchange.body = answer.read()
            exchange.status = answer.status
            exchange.answer = dict(answer.getheaders())
        finally:
            connection.close()

    def _send(
        self, handler: BaseHTTPRequestHandler, exchange: Exchange, log: list[tuple[str, str, int]]
    ) -> None:
        if exchange.silent:
            while handler.connection.recv(1 << 16):
                pass
            handler.close_connection = True
            return
        if exchange.reset:
            # A linger time of 0 turns closing into a reset.
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.close_connection = True
            handler.connection.close()
            return
        body = exchange.body if exchange.cut is None else exchange.body[: exchange.cut]
        handler.send_response_only(exchange.status)
        skipped = {"transfer-encoding", "connection", "content-length"}
        for name, value in exchange.answer.items():
            if name.lower() not in skipped:
                handler.send_header(name, value)
        length = next((v for k, v in exchange.answer.items() if k.lower() == "content-length"), None)
        head = exchange.method == "HEAD" and length
        handler.send_header("Content-Length", length if head and length else str(len(exchange.body)))
        handler.end_headers()
        with self.lock:
            log.append((exchange.method, exchange.path, len(body)))
        if exchange.hold is not None:
            handler.wfile.write(body[: len(body) // 2])
            handler.wfile.flush()
            exchange.hold.wait(240)
            body = body[len(body) // 2 :]
        if exchange.method != "HEAD":
            handler.wfile.write(body)
            handler.wfile.flush()
        if exchange.cut is not None:
            handler.close_connection = True


def random_faults(share: float, seed: int) -> Fault:
    """Fail a share of the requests: 500, 503 SlowDown, a reset, or a body cut short, in equal parts."""
    rng, lock = random.Random(seed), threading.Lock()

    def fault(exchange: Exchange) -> None:
        with lock:
            hit, kind, part = rng.random() < share, rng.randrange(4), rng.random()
        if not hit:
            return
        if kind == 0:
            exchange.error(500, "InternalError")
        elif kind == 1:
            exchange.error(503, "SlowDown")
        elif kind == 2 or exchange.method == "HEAD":
            exchange.reset = True
        else:
            exchange.cut = int(part * len(exchange.body))

    return fault
