"""Clusters of a real Dask gateway with its local backend: opened, encrypted, refused, shut down."""

import importlib
import os
from contextlib import closing
from dataclasses import replace

import dask
import pytest
from distributed import Client
from doubles.gateway import PASSWORD, running_gateway
from doubles.ports import free_port
from needs import need_packages

from tracin_dask.clusters import gateway as gateway_module
from tracin_dask.clusters import gateway_client
from tracin_dask.clusters.cluster import Start
from tracin_dask.clusters.gateway import Gateway
from tracin_dask.clusters.gateway_client import GatewayClient
from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.errors import ClusterError, ConfigError
from tracin_dask.resources import Machine, WorkerOptions

AUTH = {"gateway.auth.type": "basic", "gateway.auth.kwargs": {"username": "me", "password": PASSWORD}}
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning"
)  # sessions of aiohttp that dask-gateway drops


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    need_packages("dask_gateway", "dask_gateway_server")
    with running_gateway(tmp_path_factory.mktemp("gateway")) as (address, proxy):
        yield Gateway(address=address, proxy_address=proxy, workers=2, options=(("worker_cores", 1),), wait_minutes=1)


@pytest.fixture(autouse=True)
def _known():
    need_packages("dask_gateway", "dask_gateway_server")
    importlib.import_module("dask_gateway")  # whose defaults would be lost with settings that were there before
    with dask.config.set(AUTH):
        yield


def test_a_gateway_starts_workers_that_answer_and_the_cluster_is_shut_down(site):
    with site.open(Start(all_workers=True)) as opened:
        assert opened.resources.num_workers == 2
        name = opened.client.scheduler.address.rpartition("/")[2]
        assert opened.client.submit(sum, [1, 2, 3]).result() == 6
        assert opened.client.dashboard_link == f"{site.address}/clusters/{name}/status"
        assert len(set(opened.client.run(os.getpid).values())) == 2
        addresses = list(opened.client.scheduler_info()["workers"])
        assert all(address.startswith("tls://") for address in addresses)
        with pytest.raises((OSError, TimeoutError, AssertionError)):  # the last is how Dask meets bytes of TLS
            Client(addresses[0].replace("tls://", "tcp://"), timeout=1)
    with closing(GatewayClient(site.address, site.proxy_address)) as gateway:
        assert gateway.state(name) in {"stopping", "stopped"}


def test_a_stranger_is_refused(site):
    with (
        dask.config.set({"gateway.auth.kwargs": {"username": "me", "password": "wrong"}}),
        pytest.raises(ClusterError, match=rf"the gateway at {site.address}: 401, .*gateway\.auth"),
        site.open(Start()),
    ):
        pass


def test_an_option_that_the_gateway_does_not_offer_is_refused_with_its_words(site):
    with (
        pytest.raises(ClusterError, match=r"the gateway at .*: Unknown fields \['image'\]"),
        replace(site, options=(("image", "mine:1"),)).open(Start()),
    ):
        pass


def test_a_gateway_that_does_not_answer_is_named():
    address = f"http://127.0.0.1:{free_port()}"
    with (
        pytest.raises(ClusterError, match=rf"the gateway at {address}: Cannot connect to host"),
        Gateway(address=address, workers=1).open(Start()),
    ):
        pass


@pytest.mark.parametrize(
    ("state", "told"),
    [("failed", "could not start the cluster mine0: it is failed"), ("pending", "no scheduler after 1 m")],
)
def test_a_cluster_that_does_not_start_is_reported_and_shut_down(monkeypatch, state, told):
    monkeypatch.setattr("tracin_dask.clusters.attached.MINUTE", 1)
    stopped = []

    class Double(GatewayClient):
        def __init__(self, *_):
            pass

        def start(self, options):
            return f"mine{len(options)}"

        def state(self, name):
            return state if name == "mine0" else "unknown"

        def stop(self, name):
            stopped.append(name)

        def close(self):
            stopped.append("connection")

    monkeypatch.setattr(gateway_module, "GatewayClient", Double)
    with pytest.raises(ClusterError, match=told), Gateway(address="http://a", workers=1, wait_minutes=1).open(Start()):
        pass
    assert stopped == ["mine0", "connection"]


def test_what_would_be_asked_for_is_shown_and_nothing_is_expected():
    site = Gateway(address="https://a", workers=3, options=(("image", "mine:1"), ("worker_memory", 16)))
    assert site.describe() == (
        "a cluster of 3 worker(s) by the gateway at https://a, with the options:\n  image: mine:1\n  worker_memory: 16"
    )
    assert site.expected_resources(WorkerOptions(), Machine(num_cpus=1, memory_bytes=1)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("address: gateway.example", "address: expected that of a gateway, such as https"),
        ("address: https://a\noptions: [a]", "options: expected a block of lines `name: value`"),
        ("address: https://a\noptions:\n  a: [b]", "options: expected one text, number, true or false per name"),
    ],
)
def test_an_invalid_setting_is_named(tmp_path, text, message):
    (tmp_path / "site.yaml").write_text(f"kind: gateway\nworkers: 1\n{text}\n")
    with pytest.raises(ConfigError, match=message):
        parse_cluster(str(tmp_path / "site.yaml"))


def test_options_are_read_as_yaml_takes_them(tmp_path):
    (tmp_path / "site.yaml").write_text(
        "kind: gateway\nworkers: 1\naddress: https://a\noptions:\n  a: 1\n  b: x\n  c: true\n"
    )
    assert parse_cluster(str(tmp_path / "site.yaml")).options == (("a", 1), ("b", "x"), ("c", True))


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(gateway_client.importlib, "import_module", missing)
    with (
        pytest.raises(ClusterError, match=r"needs dask-gateway \(No module .*`pip install 'tracin-dask\[gateway\]'`"),
        Gateway(address="https://a", workers=1).open(Start()),
    ):
        pass
