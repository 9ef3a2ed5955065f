"""What Dask takes of a run: one engine in a plain loop, on one worker, on two, and in two processes without Dask."""

import json
import os
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np
from benchmarks.score_once import ScoreOnce, score_in_processes
from benchmarks.settings import FULL
from benchmarks.workloads import extract_fb15k237, graph_of

LEAST_SECONDS = 30.0
"""Shorter runs say more about start-up than about Dask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaskShare:
    """Seconds of the same run, round by round; everything in one round is measured one after the other.

    Attributes
    ----------
    loop_seconds
        One process, task after task, without Dask.
    one_worker_seconds, two_workers_seconds
        A local Dask cluster of so many worker processes; without the cluster's start.
    two_processes_seconds
        Two processes at the same time that know nothing of each other, each doing the whole run: the slower one.
    """

    loop_seconds: tuple[float, ...]
    one_worker_seconds: tuple[float, ...]
    two_workers_seconds: tuple[float, ...]
    two_processes_seconds: tuple[float, ...]

    @property
    def shares(self) -> list[float]:
        """What one worker takes longer than the loop, as a part of the loop's time; round by round."""
        return [worker / loop - 1 for worker, loop in zip(self.one_worker_seconds, self.loop_seconds, strict=True)]

    @property
    def share(self) -> float:
        """The median of `shares`."""
        return statistics.median(self.shares)

    @property
    def two_workers_speedup(self) -> float:
        """How much faster two workers are than one; median."""
        return _median_ratio(self.one_worker_seconds, self.two_workers_seconds)

    @property
    def two_processes_speedup(self) -> float:
        """How much more two processes do in the same time than one: what the machine itself gives; median."""
        return 2 * _median_ratio(self.loop_seconds, self.two_processes_seconds)


def measure_dask_share(
    job: ScoreOnce, scratch: Path, *, rounds: int = 3, say: Callable[[str], object] = lambda _: None
) -> DaskShare:
    """Measure a job; its threads are those of every process and worker.

    Every run is a process of its own. The order turns from round to round, so that no place in it is an advantage.
    """
    places = {
        "loop": [replace(job, workers=0)],
        "one_worker": [replace(job, workers=1)],
        "two_workers": [replace(job, workers=2)],
        "two_processes": [replace(job, workers=0)] * 2,
    }
    seconds: dict[str, list[float]] = {name: [] for name in places}
    for number in range(rounds):
        names = list(places)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            slowest = max(scored.seconds for scored in score_in_processes(places[name], scratch))
            seconds[name].append(slowest)
            say(f"round {number + 1}: {name.replace('_', ' ')} {slowest:.1f} s")
    return DaskShare(**{f"{name}_seconds": tuple(found) for name, found in seconds.items()})


def fb15k237_job(folder: Path, num_tests: int) -> ScoreOnce:
    """Score FB15k-237's training triples at dimension 200 against some of them, on one thread.

    Raises
    ------
    click.ClickException
        If TRACIN_DASK_DATA does not name the folder that has the graph.
    """
    data = os.environ.get("TRACIN_DASK_DATA")
    if not data:
        raise click.ClickException("TRACIN_DASK_DATA names no folder; it must hold FB15k-237.tar.gz")
    text = extract_fb15k237(Path(data), folder)["train"]
    graph = graph_of("FB15k-237", text, FULL)
    np.save(folder / "tests.npy", graph.tests(num_tests))
    return ScoreOnce(
        store=graph.store.path,
        model=str(graph.checkpoint.path),
        tests=str(folder / "tests.npy"),
        rows=len(graph.store),
        threads=1,
    )


def statement(found: DaskShare) -> dict[str, object]:
    """Put everything measured and derived under its name."""
    names = ("shares", "share", "two_workers_speedup", "two_processes_speedup")
    return asdict(found) | {name: getattr(found, name) for name in names}


@click.command(context_settings={"show_default": True})
@click.option("--tests", type=click.IntRange(min=1), default=512, help="Test triples.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, help="Medians of so many rounds are reported.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures as JSON, too.")
def command(tests: int, rounds: int, output: Path | None) -> None:
    """Measure what Dask takes of a run over FB15k-237 (in the folder that TRACIN_DASK_DATA names)."""
    with tempfile.TemporaryDirectory() as name:
        job = fb15k237_job(Path(name), tests)
        found = measure_dask_share(job, Path(name), rounds=rounds, say=click.echo)
    click.echo(f"Dask's share, one worker beside a loop: {found.share:.1%}")
    click.echo(f"two workers / one: {found.two_workers_speedup:.2f} ×")
    click.echo(f"two processes without Dask / one: {found.two_processes_speedup:.2f} ×")
    shortest = min(found.loop_seconds)
    if shortest < LEAST_SECONDS:
        click.echo(f"the loop took {shortest:.1f} s: give more --tests, start-up weighs too much below 30 s")
    if output is not None:
        output.write_text(json.dumps(statement(found), indent=2) + "\n")


def _median_ratio(above: tuple[float, ...], below: tuple[float, ...]) -> float:
    return statistics.median([a / b for a, b in zip(above, below, strict=True)])


if __name__ == "__main__":
    command()
