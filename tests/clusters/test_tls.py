"""Encrypted clusters of several machines: certificates of the specification file, of Dask, and half of them."""

import dask
import pytest
from distributed import LocalCluster
from distributed.security import Security

from tracin_dask.clusters.address import Address
from tracin_dask.clusters.cluster import Start
from tracin_dask.errors import ConfigError


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The settings that name certificate and key."""
    made, folder = Security.temporary(), tmp_path_factory.mktemp("certificates")
    contents = {"tls_ca_file": made.tls_ca_file, "tls_cert": made.tls_client_cert, "tls_key": made.tls_client_key}
    for name, text in contents.items():
        (folder / f"{name}.pem").write_text(text)
    return {name: str(folder / f"{name}.pem") for name in contents}


@pytest.fixture(scope="module")
def dask_settings(files):
    settings = {"distributed.comm.tls.ca-file": files["tls_ca_file"]}
    for role in ("client", "scheduler", "worker"):
        settings[f"distributed.comm.tls.{role}.cert"] = files["tls_cert"]
        settings[f"distributed.comm.tls.{role}.key"] = files["tls_key"]
    return settings


@pytest.fixture(scope="module")
def address(dask_settings):
    """The address of a scheduler that takes encrypted connections only."""
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with dask.config.set(dask_settings):
        cluster = LocalCluster(**options, protocol="tls://", host="127.0.0.1")
    with cluster:
        yield cluster.scheduler_address


def reached(cluster: Address) -> int:
    with cluster.open(Start()) as opened:
        return opened.client.submit(sum, [1, 2]).result()


def test_a_cluster_is_reached_with_the_certificates_of_the_specification(address, files):
    assert reached(Address(address=address, **files)) == 3


def test_a_cluster_is_reached_with_the_certificates_of_dask(address, dask_settings):
    with dask.config.set(dask_settings):
        assert reached(Address(address=address)) == 3


@pytest.mark.fault("an encrypted cluster, no certificates given", promised="one message")
def test_an_encrypted_cluster_without_certificates_is_refused(address):
    with pytest.raises(
        ConfigError, match=r"tls://\S+ takes encrypted connections only: state tls_ca_file, tls_cert and"
    ):
        reached(Address(address=address))


def test_certificates_for_a_cluster_without_encryption_are_refused(files):
    with pytest.raises(ConfigError, match=r"connections to tcp://127\.0\.0\.1:1 are not encrypted; expected tls://"):
        reached(Address(address="tcp://127.0.0.1:1", **files))


@pytest.mark.fault("certificates that are only half given", promised="one message")
@pytest.mark.parametrize("missing", ["tls_ca_file", "tls_cert", "tls_key"])
def test_half_given_certificates_are_refused(files, missing):
    with pytest.raises(ConfigError, match=f"belong together, and {missing} is missing"):
        Address(address="tls://127.0.0.1:1", **{name: file for name, file in files.items() if name != missing})


def test_half_a_configuration_of_dask_is_refused(files):
    with (
        dask.config.set({"distributed.comm.tls.ca-file": files["tls_ca_file"]}),
        pytest.raises(ConfigError, match=r"half given: distributed\.comm\.tls\.client\.cert is missing in Dask's"),
    ):
        reached(Address(address="tls://127.0.0.1:1"))


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "something else"])
def test_certificates_that_cannot_be_read_are_named(files, tmp_path, content):
    path = tmp_path / "cert.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"the certificates cannot be read \(.*cert\.pem.*expected PEM files"):
        reached(Address(address="tls://127.0.0.1:1", **files | {"tls_cert": str(path)}))
