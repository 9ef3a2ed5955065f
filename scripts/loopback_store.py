"""An S3 server on loopback, and a proxy before it that is slow, fails, or is gone for a while."""

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOST = "127.0.0.1"
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_START_SECONDS = 60.0
Answer = tuple[int, bytes]
"""A status and a body."""


def environment(port: int) -> dict[str, str]:
    """Give the variables that let obstore use the server at a port, as S3 and as Google's store.

    The latter speaks almost the same protocol; the proxy translates the rest.
    """
    return {
        "GOOGLE_BASE_URL": f"http://{HOST}:{port}",
        "GOOGLE_BEARER_TOKEN": "anything",
        "AWS_ACCESS_KEY_ID": "anybody",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
        "NO_PROXY": HOST,
    }


@contextmanager
def s3_server(log: Path, *buckets: str) -> Iterator[int]:
    """Run moto's server, which keeps everything in memory, with some buckets; gives its port."""
    port = _free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)], stdout=output, stderr=output
        )
    try:
        _wait(port, process, log)
        for bucket in buckets:
            _make_bucket(port, bucket)
        yield port
    finally:
        process.kill()
        process.wait()


class Proxy:
    """Forwards requests; what it does to them may change at any time."""

    def __init__(self, upstream: int) -> None:
        """Take the server's port."""
        self.upstream = upstream
        self.latency_seconds = 0.0
        """The time that every request takes longer."""
        self.fails_every = 0
        """One of so many requests fails, by the status 503 and by a lost connection in turn; 0 for none."""
        self.answer: Callable[[str, str], Answer | None] = lambda _method, _path: None
        """Answers a request, by its method and path, in place of the server."""
        self.dies_at: Callable[[str, str], bool] = lambda _method, _path: False
        """Whether the proxy stops at a request, for good."""
        self.num_requests = self.num_failed = 0
        self._counting = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self.port = _free_port()

    def start(self) -> None:
        """Listen, again at the same port."""
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = _Server((HOST, self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True).start()

    def stop(self) -> None:
        """Answer nobody any more."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    @property
    def is_up(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    def is_failing(self) -> bool:
        """Count a request, and tell whether it is one that fails."""
        with self._counting:
            self.num_requests += 1
            fails = self.fails_every > 0 and self.num_requests % self.fails_every == 0
            self.num_failed += fails
            return fails


@contextmanager
def proxy_to(upstream: int) -> Iterator[Proxy]:
    """Run a proxy."""
    proxy = Proxy(upstream)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that have gone."""


class _Handler(BaseHTTPRequestHandler):
    owner: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    _connection: http.client.HTTPConnection | None = None

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        owner = self.owner
        if owner.dies_at(self.command, self.path):
            owner.stop()
        fails = owner.is_failing()
        time.sleep(owner.latency_seconds)
        if not owner.is_up or (fails and owner.num_failed % 2):
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        given = (503, SLOW_DOWN) if fails else owner.answer(self.command, self.path)
        if given is not None:
            self._send(given[0], {"Content-Length": str(len(given[1]))}, given[1])
            return
        if self._connection is None:
            self._connection = http.client.HTTPConnection(HOST, owner.upstream, timeout=60)
        asked = dict(_OF_GOOGLE.get(name.lower(), (name, value)) for name, value in self.headers.items())
        if (source := self.headers.get("x-goog-copy-source")) is not None:
            asked["x-amz-copy-source"] = source
        self._connection.request(self.command, self.path, body, asked)
        found = self._connection.getresponse()
        content = found.read()
        headers = {name: value for name, value in found.getheaders() if name.lower() not in _OF_ONE_CONNECTION}
        self._send(found.status, headers | {"Content-Length": found.headers.get("Content-Length", "0")}, content)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _forward  # noqa: N815 - the names of http.server

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


_OF_GOOGLE = {"x-goog-if-generation-match": ("If-None-Match", "*")}
"""What Google calls differently from S3."""
_OF_ONE_CONNECTION = {"connection", "content-length", "transfer-encoding", "keep-alive"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends and process.poll() is None:
        with suppress(OSError):
            socket.create_connection((HOST, port), timeout=1).close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"moto's server did not start:\n{log.read_text()}")


def _make_bucket(port: int, bucket: str) -> None:
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    signed = "AWS4-HMAC-SHA256 Credential=anybody/20260101/us-east-1/s3/aws4_request"
    connection.request("PUT", f"/{bucket}", b"", {"Authorization": signed})
    found = connection.getresponse()
    content = found.read()
    connection.close()
    if found.status != http.HTTPStatus.OK:
        raise RuntimeError(f"moto's server did not make a bucket: {found.status} {content!r}")


if __name__ == "__main__":
    with s3_server(Path(os.devnull), *sys.argv[2:]) as upstream, proxy_to(upstream) as slow:
        slow.latency_seconds = float(sys.argv[1])
        print("\n".join(f"export {name}={value}" for name, value in environment(slow.port).items()), flush=True)
        threading.Event().wait()
