"""The memory of a client, a scheduler and workers through many runs: it must not grow from run to run."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from soak_rounds.clusters import running_cluster
from soak_rounds.errors import SoakError
from soak_rounds.graph import Explained
from soak_rounds.processes import Marked

LIMIT = 1.05
"""The median of the last quarter of the runs over that of the first quarter after the warm-up."""
LEAST_RUNS = 12
_WARM_UP = 1 / 3
_PROGRAM = Path(__file__).with_name("many_runs.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How the memory of a process grew after the warm-up."""

    process: str
    runs: int
    first_mib: float
    last_mib: float

    @property
    def ratio(self) -> float:
        """The memory at the end over the memory after the warm-up."""
        return self.last_mib / self.first_mib

    @property
    def is_flat(self) -> bool:
        """Whether it stayed within the limit."""
        return self.ratio <= LIMIT

    def __str__(self) -> str:
        """Say it in a line."""
        held = f"{self.first_mib:.1f} MiB after the warm-up, {self.last_mib:.1f} MiB at the end"
        return f"memory of {self.process:<10} {held}: {self.ratio - 1:+.1%} in {self.runs} runs"


def memory_of_many_runs(marked: Marked, explained: Explained, folder: Path, seconds: float) -> list[Growth]:
    """Let one client run again and again on one cluster, and compare the memory of each process, early and late.

    Raises
    ------
    SoakError
        If a run fails, or there were too few of them to compare.
    """
    with running_cluster(marked, folder) as cluster:
        words = [sys.executable, str(_PROGRAM), str(explained.folder), str(cluster.file), str(seconds), str(LEAST_RUNS)]
        log = folder / "memory.log"
        code = marked.start(words, log).wait(timeout=seconds + 300)
    lines = log.read_text(encoding="utf-8").splitlines()
    if code:
        raise SoakError("a run of many failed:\n" + "\n".join(lines[-20:]))
    samples: list[dict[str, float]] = [json.loads(line) for line in lines if line.startswith("{")]
    return [growth(name, [sample[name] for sample in samples]) for name in samples[0]]


def growth(process: str, bytes_held: Sequence[float]) -> Growth:
    """Compare the first quarter after the warm-up with the last quarter, by medians."""
    if len(bytes_held) < LEAST_RUNS:
        raise SoakError(f"only {len(bytes_held)} runs, {LEAST_RUNS} are needed to compare memory; take more minutes")
    warm = [held / 2**20 for held in bytes_held[int(len(bytes_held) * _WARM_UP) :]]
    quarter = max(1, len(warm) // 4)
    return Growth(
        process=process, runs=len(bytes_held), first_mib=median(warm[:quarter]), last_mib=median(warm[-quarter:])
    )
