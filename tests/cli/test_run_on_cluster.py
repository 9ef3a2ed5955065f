"""`tracin-dask run` on worker processes gives the same bits as in this process."""

import json
from html.parser import HTMLParser

import pytest
from distributed import LocalCluster

from tracin_dask.errors import ClusterError, ConfigError

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
"""If the port of the dashboard is in use, Tornado leaves a socket to the garbage collector."""


@pytest.fixture(scope="module")
def address():
    """The scheduler address of a cluster that already runs."""
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def explain_at(project, tool, tmp_path):
    def run(*words):
        output = tmp_path / "a.json"
        output.unlink(missing_ok=True)  # a finished run is not computed again
        job = ["--test-triple", *project.test_ids, "--batch-size", 64, "--output", output]
        result = tool("run", *project.options(), *job, *words)
        assert result.exit_code == 0, result.output
        assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
        return json.loads(output.read_text()), result.stderr

    return run


def test_a_running_cluster_gives_the_bits_of_one_process(explain_at, address):
    here, _ = explain_at()
    there, said = explain_at("--cluster", address)
    assert there["influences"] == here["influences"]
    assert f"running in 1 worker × 1 thread on the cluster at {address}: 4 task(s)" in said
    assert "dashboard: " in said


def test_a_running_cluster_refuses_worker_options(project, tool, address, tmp_path):
    words = ["--mode", "self", "--output", tmp_path / "a.json", "--cluster", address, "--workers", 2]
    with pytest.raises(
        ConfigError, match=rf"2 worker\(s\) are asked for, but the cluster at {address} states its own number"
    ):
        tool("run", *project.options(), *words)


def test_plan_uses_the_size_of_a_running_cluster(project, tool, address):
    words = ["--mode", "self", "--cluster", address, "--memory-per-worker", "1GiB"]
    text = tool("plan", *project.options(), *words).stdout
    assert f"1 worker × 1 thread on the cluster at {address}" in " ".join(text.split())
    assert "of 1,024 MiB" in text


def test_local_workers_give_the_bits_of_one_process_and_print_the_dashboard(explain_at):
    here, _ = explain_at()
    there, said = explain_at("--cluster", "local", "--workers", 2)
    assert there["influences"] == here["influences"]
    assert there["run"]["workers"] == 2
    assert "running in 2 workers × 1 thread on this machine's CPUs: 5 task(s)" in said
    assert "dashboard: http://127.0.0.1:" in said


def test_a_result_is_written_before_a_cluster_is_closed(project, tool, tmp_path, monkeypatch, caplog):
    output = tmp_path / "a.json"
    written = []

    def never(*_: object, **__: object) -> None:
        written.append(output.exists())
        raise TimeoutError("a worker does not end")

    with monkeypatch.context() as patch:
        patch.setattr(LocalCluster, "close", never)
        job = ["--test-triple", *project.test_ids, "--output", output, "--cluster", "local", "--workers", 1]
        result = tool("run", *project.options(), *job)
    assert written == [True]
    assert result.exit_code == 0
    assert f"wrote {output}" in result.stdout
    assert "the workers did not end in time and were killed (a worker does not end)" in caplog.messages


def test_an_unreachable_cluster_is_a_short_error(project, tool, tmp_path):
    words = ["--mode", "self", "--output", tmp_path / "a.json", "--cluster", tmp_path / "scheduler.json"]
    with pytest.raises(ClusterError, match=r"scheduler\.json: no such scheduler file"):
        tool("run", *project.options(), *words)


class Loaded(HTMLParser):
    """Collects what a page loads or links to; texts of scripts are no tags."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        self.addresses += [value for name, value in attrs if name in {"src", "href"}]


def test_performance_report_of_a_run_on_workers_loads_nothing_from_the_network(explain_at, address, tmp_path_factory):
    page = tmp_path_factory.mktemp("report") / "report.html"
    explain_at("--cluster", address, "--performance-report", page)
    text, loaded = page.read_text(), Loaded()
    loaded.feed(text)
    assert "Dask Performance Report" in text
    assert loaded.scripts > 1
    assert not [address for address in loaded.addresses if not address.startswith("data:")]
    assert len(text) < 3_000_000


def test_performance_report_without_workers_is_refused(project, tool, tmp_path):
    words = ["--mode", "self", "--output", tmp_path / "a.json", "--performance-report", tmp_path / "report.html"]
    with pytest.raises(ConfigError, match="this run has none: give --cluster local"):
        tool("run", *project.options(), *words)


def test_a_performance_report_that_cannot_be_written_is_refused_before_the_run(project, tool, tmp_path):
    (tmp_path / "file").write_text("")
    words = ["--mode", "self", "--output", tmp_path / "a.json", "--cluster", "local"]
    with pytest.raises(ConfigError, match="the performance report cannot be written to"):
        tool("run", *project.options(), *words, "--performance-report", tmp_path / "file" / "report.html")
