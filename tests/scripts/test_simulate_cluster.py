"""A simulated run is the product's own run: all rows, all tasks, true sizes; only the scoring sleeps."""

import json
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.append(str(SCRIPTS))

import simulate_cluster  # noqa: E402 - scripts/ must be on the path
from simulated_cluster.sizes import Sizes, prepared_run  # noqa: E402 - scripts/ must be on the path
from simulated_cluster.work import SimulatedWork  # noqa: E402 - scripts/ must be on the path

from tracin_dask.cli.main import group  # noqa: E402 - scripts/ must be on the path
from tracin_dask.errors import StoreError  # noqa: E402 - scripts/ must be on the path
from tracin_dask.triples.store import open_store  # noqa: E402 - scripts/ must be on the path

NUM_TRIPLES, WORKERS, TRIPLES_PER_SECOND = 400_000, 4, 100_000
OPTIONS = ["--triples", NUM_TRIPLES, "--workers", WORKERS, "--triples-per-second", TRIPLES_PER_SECOND, "--processes", 2]

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Simulate a second of four workers, and read what was written."""
    path = tmp_path_factory.mktemp("simulation") / "figures.json"
    words = [str(word) for word in [*OPTIONS, "--test-bytes", 1_000, "--output", path]]
    result = CliRunner().invoke(simulate_cluster.command, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "scheduler cpu seconds" in result.output
    return json.loads(path.read_text())


def test_a_simulated_run_covers_all_triples(figures):
    assert figures["task_seconds"] == pytest.approx(NUM_TRIPLES / TRIPLES_PER_SECOND, rel=0.05)
    assert figures["ideal_seconds"] == pytest.approx(figures["task_seconds"] / WORKERS)
    assert figures["tasks"] >= 2 * WORKERS


def test_a_simulated_run_takes_at_least_the_ideal_time(figures):
    assert figures["wall_seconds"] > figures["ideal_seconds"]
    assert figures["overhead"] == pytest.approx(figures["wall_seconds"] / figures["ideal_seconds"] - 1)
    assert 0 < figures["busy_share"] <= 1


def test_a_simulation_measures_graph_bytes_and_processes(figures):
    assert figures["graph_messages"] == 6
    assert 1_000 < figures["graph_bytes"] < 100_000
    assert figures["scheduler_peak_bytes"] > 2**20
    assert figures["client_peak_bytes"] > 2**20
    assert figures["scheduler_cpu_seconds"] > 0


def test_a_prepared_run_has_the_sizes_that_are_asked_for(tmp_path: Path):
    sizes = Sizes(num_triples=10**10, num_tests=7, top_k=3, embedding_dim=32)
    prepared = prepared_run(sizes, tmp_path)
    work = prepared.workload
    assert (work.num_triples, work.num_tests, prepared.config.ranking.top_k) == (10**10, 7, 3)
    assert prepared.model_config.embedding_dim == 32


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 10⁹ rows that do not exist, with a checkpoint and 750 test triples."""
    folder = tmp_path_factory.mktemp("large") / "files"
    words = ["--triples", "1000000000", "--tests", "750", "--embedding-dim", "32", "--files", str(folder)]
    assert CliRunner().invoke(simulate_cluster.command, words, catch_exceptions=False).exit_code == 0
    settings = {"kind": "slurm", "jobs": 500, "walltime": "04:00:00", "memory_per_job": "16GiB", "cpus_per_job": 4}
    (folder / "slurm.yaml").write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
    return folder


def test_a_billion_rows_are_planned_for_a_cluster_without_reading_one(files: Path):
    inputs = [
        "--model-path",
        files / "model.pt",
        "--train",
        files / "graph.zarr",
        "--test",
        files / "test.txt",
        "--ids",
    ]
    words = ["plan", *inputs, "--cluster", files / "slurm.yaml", "--top-k", 100, "--verbose"]
    result = CliRunner().invoke(group, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "1,000,000,000 training triples on 750 test triples" in said
    assert "500 workers × 4 threads on Slurm" in said
    (tasks,) = re.findall(r"tasks ([\d,]+) of", said)
    assert 2_000 < int(tasks.replace(",", "")) < 25_000


def test_rows_that_do_not_exist_are_refused_where_they_are_read(files: Path):
    with pytest.raises(StoreError, match=r"graph.zarr: row 0 holds \[-1, -1, -1\] .* a shard is missing"):
        open_store(files / "graph.zarr").read(0, 10)


def test_simulated_task_times_vary_reproducibly():
    even, uneven = (SimulatedWork(triples_per_second=10.0, spread=spread) for spread in (0.0, 0.5))
    assert even.seconds((100, 200)) == 10.0
    times = [uneven.seconds((at, at + 100)) for at in range(0, 10_000, 100)]
    assert times == [uneven.seconds((at, at + 100)) for at in range(0, 10_000, 100)]
    assert min(times) < 6
    assert max(times) > 14
    assert sum(times) / len(times) == pytest.approx(10, rel=0.1)


def test_simulate_cluster_help_lists_its_options():
    result = CliRunner().invoke(simulate_cluster.command, ["--help"])
    assert result.exit_code == 0
    assert "--triples-per-second" in result.output
