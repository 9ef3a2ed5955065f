"""A reduction of one's own counts all triples once: on workers, after a stop, and in what is read back and shown."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from distributed import Client
from result_bits import result_bits
from rich.console import Console
from small_graph import BATCH_SIZE, NUM_ROWS, MakeJob

import tracin_dask
from tracin_dask.errors import ConfigError
from tracin_dask.influence.reductions.base import NOTHING, Held
from tracin_dask.report.screen import answer_tables
from tracin_dask.runs.execute.driver import Execution


class Counts:
    def __init__(self, num_columns: int) -> None:
        self.counts = np.zeros((2, num_columns), np.int64)

    def add(self, batch) -> None:
        self.counts += [(batch.influences > 0).sum(dim=0).numpy(), (batch.influences < 0).sum(dim=0).numpy()]

    def finish(self) -> np.ndarray:
        return self.counts


@dataclass(frozen=True)
class Signs:
    """How many training triples speak for a prediction, and how many against it."""

    name: str = "signs"
    identity = "signs"
    needs = NOTHING

    def held(self, sizes) -> Held:
        return Held(stream=16 * sizes.num_columns, outcome=16 * sizes.num_columns)

    def start(self, given) -> Counts:
        return Counts(given.num_columns)

    def merge(self, outcomes) -> np.ndarray:
        return np.sum(outcomes, axis=0)

    def pack(self, outcome) -> dict[str, np.ndarray]:
        return {"counts": outcome}

    def unpack(self, arrays) -> np.ndarray:
        return arrays["counts"]

    def value(self, outcome, answer: int) -> dict[str, int]:
        proponents, opponents = outcome[:, answer].tolist()
        return {"proponents": proponents, "opponents": opponents}


@dataclass(frozen=True)
class NoJson(Signs):
    def value(self, outcome, answer: int) -> float:  # noqa: ARG002 - never asked for more
        return float("nan")


def expected(make_job: MakeJob) -> tuple[dict[str, int], ...]:
    rankings = make_job(top_k=NUM_ROWS).carry_out().rankings
    signs = [np.sign(ranking.influence).tolist() for ranking in rankings]
    return tuple({"proponents": one.count(1), "opponents": one.count(-1)} for one in signs)


def test_its_value_counts_all_triples_in_this_process_and_on_workers(make_job: MakeJob, client: Client):
    job = make_job(reductions=(Signs(),))
    truth = expected(make_job)
    assert all(min(one.values()) > 50 for one in truth)
    assert job.carry_out().kept == {"signs": truth}
    assert job.carry_out(client, task_rows=2 * BATCH_SIZE).kept == {"signs": truth}


def test_its_outcome_is_recorded_when_a_run_stops(make_job: MakeJob, tmp_path: Path):
    def stop(done: int, _total: int) -> None:
        if done > 4 * BATCH_SIZE:
            raise KeyboardInterrupt

    job, cut = make_job(reductions=(Signs(),)), {"task_rows": BATCH_SIZE, "tasks_per_group": 2}
    with pytest.raises(KeyboardInterrupt):
        job.carry_out(execution=Execution(record_directory=tmp_path, progress=stop), **cut)
    resumed = job.carry_out(execution=Execution(record_directory=tmp_path), **cut)
    assert resumed.run["statistics"]["resumed_rows"] == 4 * BATCH_SIZE
    assert resumed.kept == {"signs": expected(make_job)}


def test_its_value_is_read_back_and_shown(make_job: MakeJob, tmp_path: Path):
    result = make_job(reductions=(Signs(),)).carry_out()
    result.write_directory(tmp_path / "why")
    tracin_dask.write_result(result, tmp_path / "why.parquet")
    for path in ("why", "why.parquet"):
        assert result_bits(tracin_dask.read_result(tmp_path / path)) == result_bits(result)
    assert result.to_dict(1)["kept"] == {"signs": result.kept["signs"][1]}
    screen = Console(file=io.StringIO(), width=120)
    screen.print(answer_tables(result, 1))
    assert f"signs: {json.dumps(result.kept['signs'][1])}\n" in screen.file.getvalue()


def test_a_value_that_json_cannot_hold_is_refused(make_job: MakeJob):
    with pytest.raises(ConfigError, match="the reduction signs reports what JSON cannot hold"):
        make_job(reductions=(NoJson(),)).carry_out()
