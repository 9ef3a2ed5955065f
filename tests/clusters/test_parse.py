"""The values of `--cluster`."""

import pytest

from tracin_dask.clusters.address import Address
from tracin_dask.clusters.auto import Auto
from tracin_dask.clusters.cuda import Cuda
from tracin_dask.clusters.local import Local
from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.errors import ConfigError


def test_a_kind_without_required_settings_is_given_by_name():
    assert [parse_cluster(kind) for kind in ("auto", "local", "cuda")] == [Auto(), Local(), Cuda()]


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.1:8786", "tls://host:8786", "ws://h:1", "wss://h:1", "ucx://h:1", "runs/scheduler.json"]
)
def test_an_address_or_a_scheduler_file_means_a_running_cluster(address):
    assert parse_cluster(address) == Address(address=address)


def test_slurm_needs_a_file_and_says_how_to_get_one():
    with pytest.raises(ConfigError, match=r"slurm needs settings of your site: .*`tracin-dask cluster init slurm`"):
        parse_cluster("slurm")


@pytest.mark.parametrize("text", ["", "nonsense", "Local", "10.0.0.1:8786"])
def test_an_unknown_cluster_is_refused_with_the_expected_values(text):
    with pytest.raises(
        ConfigError, match=f"unknown cluster {text!r}; expected auto, local, cuda, slurm, .*, address, a spec"
    ):
        parse_cluster(text)
