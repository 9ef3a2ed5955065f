"""A real S3 server on loopback for tests, behind a proxy that is slow, fails, or is gone when a test says so."""

import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "scripts"))

from loopback_store import Proxy, environment, proxy_to, s3_server

from tracin_dask.places.objects.client import LIMIT, forget_clients
from tracin_dask.places.objects.folder import refuse_missing_bucket

BUCKET = "bucket"


@pytest.fixture(scope="session")
def s3_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server that has a bucket, for all tests of this process."""
    with s3_server(tmp_path_factory.mktemp("s3") / "server.log", BUCKET) as port:
        yield port


@pytest.fixture
def s3(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The proxy before the server; the environment names it, so does that of processes that a test starts."""
    with proxy_to(s3_port) as proxy:
        for name, value in environment(proxy.port).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv(LIMIT, "5")
        forget()
        yield proxy
        forget()


def forget() -> None:
    forget_clients()
    refuse_missing_bucket.cache_clear()


@pytest.fixture
def s3_folder(s3: Proxy, request: pytest.FixtureRequest) -> str:
    """The URL of an empty folder of the bucket, of this test alone."""
    assert s3.is_up
    return f"s3://{BUCKET}/{zlib.crc32(request.node.nodeid.encode()):08x}"
