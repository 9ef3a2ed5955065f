"""Section claims: what the existing tool's documentation says of its options, on models trained in this run.

First in that tool's own way: a loop of one triple at a time with the option and the same loop without it take turns,
each in a process of its own. Then the options of the same names here. Then how well the scores agree, over all training
triples of several held-out test triples.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.agreement import largest_move, overlap_of_leaders, pearson, spearman
from benchmarks.claims_loop import LoopJob, LoopRun, Variant, run_loop
from benchmarks.figures import Collector
from benchmarks.score_once import Scored, ScoreOnce, score_in_processes
from benchmarks.scoring import all_scores, mixed_is_float32
from benchmarks.settings import Settings
from benchmarks.trained import TrainedGraph, trained_fb15k237, trained_umls
from tracin_dask import RunConfig

Run = LoopRun | Scored
LEADERS = 100
LEAST_BYTES = 16 * 2**20
"""Where scoring takes less memory, the allocator's habits are larger than any option's effect: no ratio is given."""
ENGINE_TESTS = 16
LOOP_ROWS = {"umls": 400, "fb15k237": 60}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An option of the existing tool, what its documentation claims, and the same option here."""

    variant: Variant
    title: str
    speed: str | None
    memory: str | None
    config: Mapping[str, Any]


CLAIMS = (
    Claim(
        variant="mixed_precision",
        title="mixed precision",
        speed="2",
        memory="2",
        config={"precision": "mixed"},
    ),
    Claim(
        variant="gradient_checkpointing",
        title="gradient checkpointing",
        speed=None,
        memory="2-3",
        config={"gradient_checkpointing": True},
    ),
    Claim(
        variant="last_layers",
        title="last layers only",
        speed="5-10",
        memory=None,
        config={"last_layers": 2},
    ),
)
CACHED = Claim(
    variant="no_cached_tests",
    title="cached test gradients",
    speed="1.5",
    memory=None,
    config={"cache_test_gradients": False},
)
"""The claim is of the default here, so the variant is the one without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """How many times as fast, and how many times less memory, round by round.

    Memory is what scoring takes beyond the loaded model; `bytes_without` is that without the option.
    """

    speed: list[float]
    memory: list[float]
    bytes_without: int

    @classmethod
    def of(cls, speed: list[float], plain: Sequence[Run], varied: Sequence[Run]) -> "Gain":
        """Compare the memory of runs without and with the option."""
        without, with_option = ([max(1, run.peak_bytes - run.bytes_before) for run in runs] for runs in (plain, varied))
        return cls(speed=speed, memory=_ratios(without, with_option), bytes_without=int(statistics.median(without)))

    def inverse(self) -> "Gain":
        """Take the variant for the default, and the default for the option."""
        return replace(self, speed=[1 / ratio for ratio in self.speed], memory=[1 / ratio for ratio in self.memory])


@pytest.fixture(scope="module", params=["umls", "fb15k237"])
def trained(request: pytest.FixtureRequest, settings: Settings) -> TrainedGraph:
    """Train a model, before any clock starts."""
    if request.param == "umls":
        return trained_umls(settings)
    if settings.is_quick or settings.data is None:
        pytest.skip("FB15k-237 takes TRACIN_DASK_DATA, and no --quick")
    return trained_fb15k237(settings, settings.data)


@pytest.mark.parametrize("claim", [*CLAIMS, CACHED], ids=lambda claim: claim.variant)
def measure_the_loop(
    benchmark: BenchmarkFixture, collect: Collector, trained: TrainedGraph, settings: Settings, claim: Claim
) -> None:
    """Take turns: the plain loop, and the loop with the option."""
    folder = settings.scratch / "claims"
    paths = _saved(folder, train=trained.train(_loop_rows(trained, settings)), tests=trained.tests(1))
    plain: list[LoopRun] = []
    varied: list[LoopRun] = []

    def job(variant: Variant) -> LoopJob:
        model = str(trained.checkpoint.path)
        return LoopJob(model=model, threads=settings.threads, variant=variant, **paths)

    benchmark.pedantic(
        lambda: varied.append(run_loop(job(claim.variant), folder)),
        setup=lambda: plain.append(run_loop(job("plain"), folder)),
        rounds=settings.repeats,
    )
    speed = _ratios([run.triples_per_second for run in varied], [run.triples_per_second for run in plain])
    _add(collect, "loop", trained, claim, Gain.of(speed, plain, varied))


@pytest.mark.parametrize("claim", [*CLAIMS, CACHED], ids=lambda claim: claim.variant)
def measure_the_engine(
    benchmark: BenchmarkFixture, collect: Collector, trained: TrainedGraph, settings: Settings, claim: Claim
) -> None:
    """Take turns: a run with defaults, and one with the option of the same name."""
    folder = settings.scratch / "claims"
    paths = _saved(folder, tests=trained.tests(ENGINE_TESTS))
    plain: list[Scored] = []
    varied: list[Scored] = []

    def score(config: Mapping[str, Any]) -> Scored:
        job = ScoreOnce(
            store=trained.store.path,
            model=str(trained.checkpoint.path),
            rows=len(trained.store),
            threads=settings.threads,
            config=config,
            **paths,
        )
        return score_in_processes([job], folder)[0]

    benchmark.pedantic(
        lambda: varied.append(score(claim.config)), setup=lambda: plain.append(score({})), rounds=settings.repeats
    )
    speed = _ratios([run.seconds for run in plain], [run.seconds for run in varied])
    _add(collect, "engine", trained, claim, Gain.of(speed, plain, varied))


@pytest.mark.parametrize("claim", [CLAIMS[0], CLAIMS[2]], ids=lambda claim: claim.variant)
def measure_agreement(
    benchmark: BenchmarkFixture, collect: Collector, trained: TrainedGraph, settings: Settings, claim: Claim
) -> None:
    """Compare scores with the option and those of all parameters in float32, over all training triples."""
    tests = trained.tests(settings.sizes.agreement_tests)

    def scores(config: Mapping[str, Any]) -> NDArray[np.float64]:
        chosen = RunConfig.of(**config)
        return all_scores(trained.store, trained.checkpoint, tests, config=chosen, threads=settings.threads)

    config, title = claim.config, claim.title
    if claim is CLAIMS[0] and mixed_is_float32(settings.device):
        config, title = {"precision": "bf16-emulated"}, f"{claim.title} (bf16, emulated)"
    full = scores({})
    rows = list(zip(full, benchmark.pedantic(scores, args=(config,), rounds=1), strict=True))
    name, about = f"claims.{trained.name}.{claim.variant}", f"{trained.title}: {title}, {len(tests)} test triples"
    collect.figure(f"{name}.spearman", f"{about}, Spearman{_claimed(claim, '0.95')}", "", [spearman(*r) for r in rows])
    collect.figure(f"{name}.pearson", f"{about}, Pearson{_claimed(claim, '0.95')}", "", [pearson(*r) for r in rows])
    overlaps = [overlap_of_leaders(*row, LEADERS) for row in rows]
    collect.figure(f"{name}.overlap", f"{about}, top {LEADERS} in common", "", overlaps)
    moves = [largest_move(*row) for row in rows]
    collect.figure(f"{name}.move", f"{about}, largest change of one influence / largest influence", "", moves)


def _add(collect: Collector, who: str, trained: TrainedGraph, claim: Claim, gain: Gain) -> None:
    """Add the two ratios; above 1 is better with the option, for cached gradients, too."""
    name, about = f"claims.{trained.name}.{who}.{claim.variant}", f"{trained.title}, {who}: {claim.title}"
    if claim is CACHED:
        gain = gain.inverse()
    collect.figure(f"{name}.speed", f"{about}, times as fast{_of(claim.speed)}", "×", gain.speed)
    if gain.bytes_without >= LEAST_BYTES:
        collect.figure(f"{name}.memory", f"{about}, times less memory for scoring{_of(claim.memory)}", "×", gain.memory)
    collect.facts["bytes_for_scoring_without_the_option"] = gain.bytes_without


def _of(claimed: str | None) -> str:
    return f" (claimed: {claimed} ×)" if claimed else ""


def _claimed(claim: Claim, correlation: str) -> str:
    return f" (claimed: {correlation})" if claim.variant == "last_layers" else ""


def _ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [first / second for first, second in zip(above, below, strict=True)]


def _loop_rows(trained: TrainedGraph, settings: Settings) -> int:
    rows = LOOP_ROWS[trained.name]
    return rows // 10 if settings.is_quick else rows


def _saved(folder: Path, **arrays: NDArray[np.int64]) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return {name: str(folder / f"{name}.npy") for name in arrays}
