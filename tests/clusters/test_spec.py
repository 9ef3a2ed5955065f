"""What `--cluster` may say."""

import pytest

from tracin_dask.clusters.spec import ClusterSpec, parse_spec
from tracin_dask.errors import ConfigError


@pytest.mark.parametrize("kind", ["auto", "local"])
def test_a_kind_is_its_own_name(kind):
    assert parse_spec(kind) == ClusterSpec(kind=kind)


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.1:8786", "tls://host:8786", "ws://h:1", "wss://h:1", "ucx://h:1", "runs/scheduler.json"]
)
def test_an_address_or_a_scheduler_file_is_a_running_cluster(address):
    assert parse_spec(address) == ClusterSpec(kind="address", address=address)


@pytest.mark.parametrize("text", ["", "nonsense", "Local", "10.0.0.1:8786", "http://10.0.0.1:8787", "scheduler.yaml"])
def test_anything_else_is_refused_with_what_is_expected(text):
    with pytest.raises(ConfigError, match=f"unknown cluster {text!r}; expected auto, local, a scheduler's"):
        parse_spec(text)
