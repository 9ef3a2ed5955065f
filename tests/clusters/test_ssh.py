"""Clusters over SSH: real connections to servers on the loopback interface, a cut link, strangers, unfit hosts."""

import logging
import os
import socket
import ssl
import subprocess
import sys
import time
from contextlib import chdir
from dataclasses import replace
from urllib.parse import urlsplit

import psutil
import pytest
from distributed import Client
from distributed.security import Security
from doubles.build import nvml_environment
from doubles.sshd import start_hosts, stop_hosts
from needs import need

from tracin_dask.clusters import ssh_command, ssh_workers
from tracin_dask.clusters.cluster import Start
from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.clusters.ssh import Ssh
from tracin_dask.clusters.ssh_hosts import Host
from tracin_dask.errors import ClusterError, ConfigError
from tracin_dask.resources import Machine, Resources, WorkerOptions

MIB = 2**20
HERE = Machine(num_cpus=1, memory_bytes=2**30)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    need("sshd", "ssh", "ssh-keygen")
    found = start_hosts(tmp_path_factory.mktemp("hosts"), "one", "two")
    yield found
    stop_hosts(found)


def site_of(hosts, folder):
    """A cluster of two hosts, the second with two workers."""
    return Ssh(
        hosts=(Host(host="one"), Host(host="two", workers=2, memory_per_worker=600 * MIB)),
        ssh_options=(f"-F {hosts.config}",),
        memory_per_worker=700 * MIB,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        folder=str(folder),
        setup=("export FROM_SETUP=yes",),
    )


@pytest.fixture
def site(hosts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return site_of(hosts, tmp_path)


@pytest.fixture
def one(site):
    return replace(site, hosts=site.hosts[:1])


@pytest.fixture(scope="module")
def opened(hosts, tmp_path_factory):
    """A cluster of three workers on two hosts, and its folder."""
    folder = tmp_path_factory.mktemp("site")
    with chdir(folder), site_of(hosts, folder).open(Start(all_workers=True)) as found:
        yield found, folder
    assert processes(hosts) == set()


def processes(hosts):
    """The processes that run on the hosts."""
    servers = [psutil.Process(server.pid) for server in hosts.servers.values()]
    return {process.pid for server in servers for process in server.children(recursive=True)}


def test_workers_on_hosts_have_their_settings(opened):
    found, folder = opened
    assert found.resources == Resources(num_workers=3, threads_per_worker=1, memory_bytes=600 * MIB)
    workers = found.client.scheduler_info()["workers"].values()
    sizes = sorted((str(worker["name"]), worker["memory_limit"], worker["nthreads"]) for worker in workers)
    assert sizes == [("ssh-0", 700 * MIB, 1), ("ssh-1-0", 600 * MIB, 1), ("ssh-1-1", 600 * MIB, 1)]
    assert set(found.client.run(os.getenv, "FROM_SETUP").values()) == {"yes"}
    assert set(found.client.run(os.getenv, "PWD").values()) == {str(folder)}
    assert len(set(found.client.run(os.getppid).values())) == 2
    assert found.client.submit(sum, [1, 2, 3]).result() == 6


def test_hosts_that_see_this_machine_on_its_loopback_interface_get_a_scheduler_there(opened):
    found, _ = opened
    addresses = [found.client.scheduler.address, *found.client.scheduler_info()["workers"]]
    assert all(address.startswith("tls://127.0.0.1:") for address in addresses)
    listening = {
        connection.laddr.ip
        for connection in psutil.net_connections(kind="inet")
        if connection.pid == os.getpid() and connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_a_program_without_a_certificate_is_refused_by_scheduler_and_workers(opened):
    client = opened[0].client
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    for address in (client.scheduler.address, *client.scheduler_info()["workers"]):
        where = urlsplit(address)
        with (
            socket.create_connection((where.hostname, where.port), timeout=10) as plain,
            trusting.wrap_socket(plain) as encrypted,
            pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"),
        ):
            encrypted.recv(1)


def test_clients_and_workers_with_another_certificate_are_refused(opened, tmp_path):
    client = opened[0].client
    address = client.scheduler.address
    for stranger in (address.replace("tls://", "tcp://"), address):
        with pytest.raises((OSError, TimeoutError, AssertionError)):  # the last is how Dask meets bytes of TLS
            Client(stranger, timeout=1, security=Security.temporary() if stranger == address else None)
    made, certificate, authority = Security.temporary(), tmp_path / "stranger.pem", tmp_path / "authority.pem"
    certificate.write_text(made.tls_worker_cert + made.tls_worker_key)
    authority.write_text(made.tls_ca_file)
    words = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny", "--death-timeout", "2"]
    tls = ["--tls-ca-file", authority, "--tls-cert", certificate, "--tls-key", certificate]
    told = subprocess.run([*words, *tls], timeout=60, check=False, stderr=subprocess.DEVNULL)
    assert told.returncode != 0
    assert len(client.scheduler_info()["workers"]) == 3


@pytest.fixture
def _quick(monkeypatch):
    monkeypatch.setattr(ssh_command, "ALIVE_SECONDS", 1)
    monkeypatch.setattr(ssh_command, "ALIVE_QUESTIONS", 2)
    monkeypatch.setattr(ssh_command, "CONNECT_SECONDS", 2)
    monkeypatch.setattr(ssh_workers, "RETRY_SECONDS", 1.0)


@pytest.fixture
def fragile_hosts(tmp_path, monkeypatch):
    """Hosts that no other cluster uses, since their links are cut."""
    need("sshd", "ssh", "ssh-keygen")
    monkeypatch.chdir(tmp_path)
    found = start_hosts(tmp_path, "one", "two")
    yield found
    stop_hosts(found)


@pytest.mark.usefixtures("_quick")
def test_a_cut_link_is_said_its_work_goes_elsewhere_and_the_host_comes_back(fragile_hosts, tmp_path, caplog):
    hosts, site = fragile_hosts, site_of(fragile_hosts, tmp_path)

    def wait_until_told(text):
        deadline = time.monotonic() + 30
        while not any(text in one.getMessage() for one in caplog.records if one.levelno == logging.WARNING):
            assert time.monotonic() < deadline, text
            time.sleep(0.1)

    with site.open(Start(all_workers=True)) as opened:
        tasks = opened.client.map(time.sleep, [0.1] * 120, pure=False)
        hosts.cut("two")
        try:
            assert opened.client.gather(tasks) == [None] * 120
            wait_until_told("the SSH connection to two is lost (")
            assert [str(one["name"]) for one in opened.client.scheduler_info()["workers"].values()] == ["ssh-0"]
        finally:
            hosts.heal("two")
        opened.client.wait_for_workers(3, timeout=60)
        wait_until_told("two is back")
        assert opened.client.submit(sum, [1, 2]).result() == 3


def test_an_interrupted_run_ends_its_workers_within_seconds(one, hosts):
    before, begun, started = processes(hosts), set(), time.monotonic()

    def interrupt():
        nonlocal started
        begun.update(processes(hosts) - before)
        started = time.monotonic()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), one.open(Start()):
        interrupt()
    assert time.monotonic() - started < 10
    assert begun
    while processes(hosts) - before:
        assert time.monotonic() - started < 60
        time.sleep(0.1)


def test_cluster_check_tests_a_worker_over_ssh(site, hosts, tmp_path):
    spec = tmp_path / "site.yaml"
    spec.write_text(
        "kind: ssh\nhosts:\n  - {host: two, memory_per_worker: 1GiB}\ndashboard_address: 127.0.0.1:0\n"
        f"ssh_options:\n  - -F {hosts.config}\nlogs: {site.logs}\n"
    )
    command = [sys.executable, "-m", "tracin_dask", "cluster", "check", spec]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 0, told.stderr
    assert "1 worker(s) found the known influences" in told.stdout + told.stderr


def test_a_host_with_gpus_has_a_worker_per_gpu(one, tmp_path_factory):
    double = nvml_environment(tmp_path_factory)
    site = replace(one, gpus=True, setup=tuple(f"export {name}={value}" for name, value in double.items()))
    with site.open(Start(all_workers=True)) as opened:
        assert opened.resources.num_workers == 2
        assert opened.resources.device_bytes is not None


def test_a_host_without_the_gpus_that_are_asked_for_is_refused(one):
    with pytest.raises(ClusterError, match="one has no NVIDIA GPU"), replace(one, gpus=True).open(Start()):
        pass


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"hosts": (Host(host="nowhere.invalid"),)}, r"nowhere\.invalid cannot be reached by SSH \(.*\); try `ssh -F "),
        ({"python": "/no/python"}, r"one: Python does not start \(.*/no/python: not found\); python, folder and setup"),
        ({"folder": "/no/folder"}, r"one: Python does not start \(.*can't cd to /no/folder\)"),
    ],
)
def test_an_unfit_host_is_named_with_the_reason(one, changed, told):
    with pytest.raises(ClusterError, match=told), replace(one, **changed).open(Start()):
        pass


@pytest.mark.parametrize("name", ["torch", "tracin-dask"])
def test_a_host_with_another_version_is_named_with_the_remedy(one, tmp_path, name):
    about = tmp_path / f"{name.replace('-', '_')}-1.2.3.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.3\n")
    site = replace(one, setup=(f"export PYTHONPATH={tmp_path}",))
    with (
        pytest.raises(ClusterError, match=rf"one has {name} 1\.2\.3 instead of .*; on one, in an environment with Py"),
        site.open(Start()),
    ):
        pass


def test_a_host_without_packages_is_named_with_the_remedy(one, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    site = replace(one, python=str(tmp_path / "bare" / "bin" / "python"))
    with (
        pytest.raises(ClusterError, match=r"one has no tracin-dask, no torch, no dask.*`pip install tracin-dask=="),
        site.open(Start()),
    ):
        pass


def test_workers_that_cannot_start_are_reported_with_their_last_words(one):
    site = replace(one, interface="ib7")
    with (
        pytest.raises(ClusterError, match=r"0 of 1 worker\(s\) came; .*one: .*'ib7' is not a valid network inte"),
        site.open(Start()),
    ):
        pass


def test_the_scripts_of_hosts_are_shown(site):
    text = replace(site, hosts=(*site.hosts, Host(host="three", gpus=True)), python="/site/python").describe()
    assert text.startswith("3 host(s), each with this script over SSH:")
    assert "exec /site/python -m distributed.cli.dask_worker tls://SCHEDULER:PORT --name ssh-1" in text
    assert "--memory-limit MEMORY --no-dashboard --death-timeout 60 --nworkers 2" in text
    assert "exec /site/python -m dask_cuda.cli tls://SCHEDULER:PORT --name ssh-2" in text


def test_expected_workers_are_known_where_their_size_is_stated(site):
    assert site.expected_resources(WorkerOptions(), HERE) == [
        Resources(num_workers=3, threads_per_worker=1, memory_bytes=600 * MIB)
    ]
    assert site.expected_resources(WorkerOptions(threads_per_worker=2), HERE)[0].threads_per_worker == 2
    assert replace(site, threads_per_worker=None).expected_resources(WorkerOptions(), HERE) == []
    assert replace(site, gpus=True).expected_resources(WorkerOptions(), HERE) == []
    with pytest.raises(ConfigError, match="2 worker\\(s\\) are asked for, but SSH hosts states its own"):
        site.expected_resources(WorkerOptions(workers=2), HERE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hosts: []", "hosts: expected at least one host"),
        ("hosts: node1", "hosts: expected a list"),
        (
            "hosts:\n  - {host: a, cores: 2}",
            "hosts: 'cores' is no setting of a host; expected a name, or host, wo",
        ),
        ("hosts:\n  - {workers: 2}", "hosts: an entry has settings and no `host`"),
        ("hosts:\n  - {host: a, workers: no}", "hosts: workers: expected a whole number"),
        ("hosts:\n  - {host: a, memory_per_worker: 64000}", "hosts: memory_per_worker: expected a size with its unit"),
        ("hosts:\n  - -oProxyCommand=touch /tmp/x", "hosts: '-oProxyCommand=touch /tmp/x' is not the name of a host"),
        ("hosts:\n  - [a]", "hosts: .* is no setting of a host"),
        ("hosts:\n  - {host: a, gpus: true, workers: 2}", "a: workers is for CPUs; with gpus there is one worker per"),
        ("hosts: [a]\nscheduler_port: 70000", "scheduler_port: expected a port from 0 to 65535, not '70000'"),
        ("hosts: [a]\nscheduler_host: a\nscheduler_interface: b", "scheduler_host and scheduler_interface both say"),
        ("hosts: [a]\ntls_key: a", "belong together, and tls_ca_file, tls_cert is missing"),
    ],
)
def test_an_invalid_setting_is_named(tmp_path, text, message):
    (tmp_path / "site.yaml").write_text(f"kind: ssh\n{text}\n")
    with pytest.raises(ConfigError, match=message):
        parse_cluster(str(tmp_path / "site.yaml"))


def test_an_interface_that_this_machine_lacks_is_named(site):
    with (
        pytest.raises(ConfigError, match="scheduler_interface: this machine has no network interface ib7; it has"),
        replace(site, scheduler_interface="ib7").open(Start()),
    ):
        pass
