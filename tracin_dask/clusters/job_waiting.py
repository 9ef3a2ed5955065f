"""Submits the first jobs, waits for their workers, and says what the batch system says of jobs that wait or fail."""

import logging
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client, Status

from tracin_dask.clusters.log_end import end_of, reason
from tracin_dask.errors import ClusterError

logger = logging.getLogger(__name__)

EXPLAIN_SECONDS = 30
"""How often the reasons of pending jobs are printed."""
ANSWER_SECONDS = 30
"""How long a batch system may take to say the states of jobs."""
MINUTE = 60
"""In seconds."""
SCRIPT = "worker.sh"
"""The script of a job, in the folder of logs."""
MOST_LINES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQueue:
    """How to ask a batch system for the states of jobs, and where their output lies."""

    title: str
    state_command: Callable[[Sequence[str]], list[str]]
    """From the numbers of jobs to a command that prints their states."""
    logs: Path
    wait_minutes: int
    started: float = field(default_factory=time.time)
    """Older logs are of other runs."""


def submit_jobs(cluster: Any, jobs: int, queue: JobQueue) -> None:  # noqa: ANN401 - dask-jobqueue has no types
    """Submit the first jobs and wait until the batch system has taken them; later ones are tried again and again.

    Raises
    ------
    ClusterError
        If there is no such batch system here, or it refuses a job.
    """

    async def submitted() -> None:
        cluster.scale(jobs=jobs)
        await cluster

    try:
        cluster.sync(submitted)
    except OSError as error:
        _give_up(cluster)
        raise ClusterError(
            f"{queue.title}: {error.filename} cannot be called ({error.strerror}); start where jobs are submitted"
        ) from error
    except (RuntimeError, ValueError) as error:
        _give_up(cluster)
        raise ClusterError(
            f"{queue.title} refuses the job: {_of_the_program(str(error))} (script: {queue.logs / SCRIPT})"
        ) from error


def _give_up(cluster: Any) -> None:  # noqa: ANN401 - dask-jobqueue has no types
    """Mark jobs that were not submitted: a cluster with jobs that neither run nor failed does not close."""
    for job in cluster.workers.values():
        if job.job_id is None:
            job.status = Status.failed


def wait_for_workers(client: Client, cluster: Any, queue: JobQueue, number: int) -> None:  # noqa: ANN401 - dask-jobqueue has no types
    """Wait for so many workers, and say every half minute what the jobs wait for.

    Raises
    ------
    ClusterError
        If they do not come in time, with the states of the jobs and the end of the newest log.
    """
    deadline = time.monotonic() + MINUTE * queue.wait_minutes
    while time.monotonic() < deadline:
        try:
            client.wait_for_workers(number, timeout=EXPLAIN_SECONDS)
        except TimeoutError:
            logger.warning(
                "waiting for %s: %s so far; %s%s",
                queue.title,
                _arrived(client, number),
                _states(cluster, queue),
                _last_words(queue),
            )
        else:
            return
    raise ClusterError(
        f"{_arrived(client, number)} after {queue.wait_minutes} minutes; {_states(cluster, queue)}; the output of the "
        f"jobs is in {queue.logs}{_last_words(queue)}"
    )


def _arrived(client: Client, number: int) -> str:
    """Say how many workers are there."""
    there = len(client.scheduler_info(n_workers=-1)["workers"])
    return f"{there} of {number} workers" if there else "no worker"


def _states(cluster: Any, queue: JobQueue) -> str:  # noqa: ANN401 - dask-jobqueue has no types
    """Ask the batch system for the states of the jobs, and for the reasons of pending ones where it gives them."""
    ids = [worker.job_id for worker in cluster.workers.values() if getattr(worker, "job_id", None)]
    if not ids:
        return "no job was submitted"
    command = queue.state_command(ids)
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS)  # noqa: S603 - fixed words and job numbers
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]} does not answer ({error})"
    lines = [" ".join(line.split()) for line in answer.stdout.splitlines() if line.strip()]
    return "jobs: " + "; ".join(lines[:MOST_LINES] or ["none is left: they ended at once"])


def _last_words(queue: JobQueue) -> str:
    """Give the last words of the newest log of these jobs, which often say why no worker comes."""
    logs = [path for path in queue.logs.glob("*") if path.suffix != ".sh" and path.is_file()]
    ends = {path: reason(end_of(path)) for path in logs if path.stat().st_mtime >= queue.started}
    said = [path for path, line in ends.items() if line]
    if not said:
        return ""
    newest = max(said, key=lambda path: path.stat().st_mtime)
    return f"; {newest.name} says: {ends[newest]}"


def _of_the_program(message: str) -> str:
    """Take what the program wrote to standard error, or to standard output, from dask-jobqueue's message.

    Of LSF's program dask-jobqueue drops the errors.
    """
    if "stderr:\n" not in message:
        return " ".join(message.split())
    for heading in ("stderr:\n", "stdout:\n"):
        said = message.rpartition(heading)[2].partition("stderr:\n")[0].strip() if heading in message else ""
        if said:
            return " ".join(said.split())
    return "it does not say why"
