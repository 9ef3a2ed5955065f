"""A process that scores the first rows of a store once and prints seconds and peak memory as JSON.

`python -m benchmarks.score_once JOB.json`; `ScoreOnce` says what the job states.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.memory import forget_peak, peak_bytes
from benchmarks.processes import collected_json, module_command, start
from benchmarks.scoring import scoring
from tracin_dask import RunConfig, load_checkpoint, open_store
from tracin_dask.clusters.cluster import Start
from tracin_dask.clusters.local import Local
from tracin_dask.resources import this_machine
from tracin_dask.runs import TASKS
from tracin_dask.runs.prepare import prepare

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOnce:
    """What to score, and where.

    Attributes
    ----------
    tests
        An .npy file of test triples, as ids.
    rows
        Training triples from the store's start; cut off at its end.
    threads
        Threads of the process, or of each worker.
    workers
        Worker processes of a local Dask cluster; 0 for none: this process.
    config
        Options of `RunConfig` that differ from its defaults.
    """

    store: str
    model: str
    tests: str
    rows: int
    threads: int
    workers: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """How it went.

    `task_seconds` sums the tasks, so start-up is not in it; `seconds` are those of the whole call. `bytes_before` and
    `peak_bytes` are this process's while it scores.
    """

    rows: int
    task_seconds: float
    seconds: float
    bytes_before: int
    peak_bytes: int
    planned_bytes: int
    batch_size: int


def score_in_processes(jobs: Sequence[ScoreOnce], scratch: Path) -> list[Scored]:
    """Carry out jobs at the same time, each in a process of its own.

    Raises
    ------
    CommandError
        If one of them fails.
    """
    processes = [start(_command(job, scratch / f"score_{place}.json")) for place, job in enumerate(jobs)]
    return [Scored(**found) for found in collected_json(processes)]


def score(job: ScoreOnce) -> Scored:
    """Carry out a job in this process."""
    config = RunConfig.of(**job.config)
    prepared = prepare(open_store(job.store), load_checkpoint(job.model), np.load(job.tests), config=config)
    planned = scoring(prepared, rows=job.rows, threads=job.threads, workers=max(1, job.workers))
    with _client(job.workers) as client:
        before = forget_peak()
        result = planned.run(client)
    return Scored(
        rows=planned.num_rows,
        task_seconds=result.run["statistics"]["task_seconds"],
        seconds=result.run["seconds"],
        bytes_before=before,
        peak_bytes=peak_bytes(),
        planned_bytes=planned.plan.memory.total,
        batch_size=planned.plan.batch_size,
    )


@contextmanager
def _client(workers: int) -> "Iterator[Client | None]":
    if not workers:
        yield None
        return
    start = Start(resources=this_machine().shared_by(workers), preload=(TASKS,))
    with Local().open(start) as opened:
        opened.client.wait_for_workers(workers)
        yield opened.client


def _command(job: ScoreOnce, path: Path) -> list[str]:
    path.write_text(json.dumps(asdict(job)))
    return module_command("benchmarks.score_once", path)


if __name__ == "__main__":
    print(json.dumps(asdict(score(ScoreOnce(**json.loads(Path(sys.argv[1]).read_text()))))))
