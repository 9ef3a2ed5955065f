"""`tracin-dask run` on worker processes finds, bit for bit, what it finds in this process."""

import json

import pytest
from distributed import LocalCluster

from tracin_dask.errors import ClusterError, ConfigError

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
"""Tornado leaves a socket to the garbage collector where the dashboard's port is in use."""


@pytest.fixture(scope="module")
def address():
    """The scheduler's address of a cluster that somebody else started."""
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def explain_at(project, tool, tmp_path):
    def run(*words):
        output = tmp_path / "a.json"
        job = ["--test-triple", *project.test_ids, "--batch-size", 64, "--output", output]
        result = tool("run", *project.options(), *job, *words)
        assert result.exit_code == 0, result.output
        assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
        return json.loads(output.read_text()), result.stderr

    return run


def test_a_running_cluster_gives_the_same_bits(explain_at, address):
    here, _ = explain_at()
    there, said = explain_at("--cluster", address)
    assert there["influences"] == here["influences"]
    assert f"running in 1 worker(s) of the cluster at {address}: 4 task(s)" in said
    assert "dashboard: " in said


def test_a_running_cluster_has_its_own_number_of_workers(project, tool, address, tmp_path):
    words = ["--mode", "self", "--output", tmp_path / "a.json", "--cluster", address, "--workers", 2]
    with pytest.raises(
        ConfigError, match=f"--workers is for workers on this machine's CPUs; the cluster at {address} says its own"
    ):
        tool("run", *project.options(), *words)


def test_a_plan_asks_a_running_cluster_for_its_size(project, tool, address):
    words = ["--mode", "self", "--cluster", address, "--memory-per-worker", "1GiB"]
    text = tool("plan", *project.options(), *words).stdout
    assert f"1 worker(s) of the cluster at {address}" in " ".join(text.split())
    assert "of 1,024 MiB" in text


def test_local_workers_give_the_same_bits_and_say_where_to_look(explain_at):
    here, _ = explain_at()
    there, said = explain_at("--cluster", "local", "--workers", 2)
    assert there["influences"] == here["influences"]
    assert there["run"]["workers"] == 2
    assert "running in 2 local worker(s) × 1 thread(s): 5 task(s)" in said
    assert "dashboard: http://127.0.0.1:" in said


def test_a_cluster_that_is_not_there_is_a_short_error(project, tool, tmp_path):
    words = ["--mode", "self", "--output", tmp_path / "a.json", "--cluster", tmp_path / "scheduler.json"]
    with pytest.raises(ClusterError, match=r"scheduler\.json: no such scheduler file"):
        tool("run", *project.options(), *words)


def test_a_performance_report_is_written_of_a_run_on_workers(explain_at, address, tmp_path_factory):
    page = tmp_path_factory.mktemp("report") / "report.html"
    explain_at("--cluster", address, "--performance-report", page)
    assert "Dask Performance Report" in page.read_text()


def test_a_run_without_workers_has_no_performance_report(project, tool, tmp_path):
    words = ["--mode", "self", "--output", tmp_path / "a.json", "--performance-report", tmp_path / "report.html"]
    with pytest.raises(ConfigError, match="this run has none: give --cluster local"):
        tool("run", *project.options(), *words)
