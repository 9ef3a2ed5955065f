"""What Dask takes is computed from runs of the same job that are measured in turns."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.append(str(SCRIPTS))

import dask_share  # noqa: E402 - scripts/ must be on the path
from benchmarks.score_once import ScoreOnce  # noqa: E402 - scripts/ must be on the path

JOB = ScoreOnce(store="graph.zarr", model="model.pt", tests="tests.npy", rows=1000, threads=1)
SECONDS = {(0, 1): 40.0, (1, 1): 41.0, (2, 1): 22.0, (0, 2): 50.0}
"""Of a run, by its workers and by how many run at the same time."""


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Note the order of the runs, which are not carried out."""
    seen = []

    def score(jobs, _scratch):
        seen.append((jobs[0].workers, len(jobs)))
        slowest = SECONDS[seen[-1]]
        return [SimpleNamespace(seconds=slowest - 5 * number) for number in range(len(jobs))]

    monkeypatch.setattr(dask_share, "score_in_processes", score)
    return seen


def test_every_setup_is_measured_in_every_round_in_rotating_order(order, tmp_path: Path):
    dask_share.measure_dask_share(JOB, tmp_path, rounds=4)
    rounds = [order[at : at + 4] for at in range(0, 16, 4)]
    assert all(set(places) == set(SECONDS) for places in rounds)
    assert {places[0] for places in rounds} == set(SECONDS)


@pytest.mark.usefixtures("order")
def test_dask_share_and_speedups_use_the_slowest_process(tmp_path: Path):
    found = dask_share.measure_dask_share(JOB, tmp_path, rounds=3)
    assert found.share == pytest.approx(0.025)
    assert found.two_workers_speedup == pytest.approx(41 / 22)
    assert found.two_processes_speedup == pytest.approx(2 * 40 / 50)
    assert dask_share.statement(found)["share"] == found.share


def test_medians_are_taken_of_ratios_within_a_round():
    found = dask_share.DaskShare(
        loop_seconds=(10.0, 20.0, 40.0),
        one_worker_seconds=(11.0, 21.0, 80.0),
        two_workers_seconds=(5.5, 10.5, 80.0),
        two_processes_seconds=(10.0, 25.0, 40.0),
    )
    assert found.share == pytest.approx(0.1)
    assert found.two_workers_speedup == pytest.approx(2)
    assert found.two_processes_speedup == pytest.approx(2)
