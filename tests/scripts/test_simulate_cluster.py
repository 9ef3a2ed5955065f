"""A simulated run is the product's own run: all rows, all tasks, true sizes; only the scoring sleeps."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.append(str(SCRIPTS))

import simulate_cluster  # noqa: E402 - scripts/ must be on the path
from simulated_cluster.sizes import Sizes, prepared_run  # noqa: E402 - scripts/ must be on the path
from simulated_cluster.work import SimulatedWork  # noqa: E402 - scripts/ must be on the path

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
    sizes = Sizes(num_triples=10**12, num_tests=7, top_k=3, embedding_dim=32)
    prepared = prepared_run(sizes, tmp_path)
    work = prepared.workload
    assert (work.num_triples, work.num_tests, prepared.config.ranking.top_k) == (10**12, 7, 3)
    assert prepared.model_config.embedding_dim == 32


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
