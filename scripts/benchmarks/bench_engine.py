"""Section engine: triples and pairs a second beside the per-triple autograd loop, in float32 and mixed precision.

Both take every parameter of a ConvE into account, in this process; they take turns, so that the ratio of a round
compares what the machine did in the same minute.
"""

from collections.abc import Sequence

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.agreement import overlap_of_leaders, spearman
from benchmarks.figures import Collector
from benchmarks.gpu import collect_use
from benchmarks.scoring import (
    Scoring,
    all_scores,
    loop_triples_per_second,
    mixed_is_float32,
    scoring,
    timed_run,
)
from benchmarks.settings import Settings
from benchmarks.workloads import Graph
from tracin_dask import InfluenceResult, RunConfig
from tracin_dask.influence.precision import PrecisionName
from tracin_dask.runs.prepare import prepare

LEADERS = 100
NUMBERS_OF_TESTS = (1, 16, 256)
MANY_TESTS = 1024
"""A GPU takes as many at a time; on a CPU they are as fast per pair as fewer."""


def planned(graph: Graph, settings: Settings, num_tests: int, *, mixed_precision: bool) -> Scoring:
    """Plan the engine's run for a number of test triples."""
    precision: PrecisionName = "mixed" if mixed_precision else "float32"
    config = RunConfig.of(top_k=LEADERS, device=settings.device, precision=precision)
    prepared = prepare(graph.store, graph.checkpoint, graph.tests(num_tests), config=config)
    return scoring(prepared, rows=settings.sizes.rows[num_tests], threads=settings.threads)


@pytest.mark.parametrize("num_tests", NUMBERS_OF_TESTS)
def measure_the_engine_beside_the_loop(
    benchmark: BenchmarkFixture, collect: Collector, graph: Graph, settings: Settings, num_tests: int
) -> None:
    """Take turns: the loop on some training triples, the engine on all that the size allows."""
    job, tests = planned(graph, settings, num_tests, mixed_precision=False), graph.tests(num_tests)
    sample = graph.tests(settings.sizes.loop_rows[num_tests])
    loop, engine = [], []

    def run_loop() -> None:
        loop.append(
            loop_triples_per_second(graph.checkpoint, sample, tests, device=settings.device, threads=settings.threads)
        )

    def run_engine() -> None:
        engine.append(job.num_rows / timed_run(job, settings.device).seconds)

    benchmark.pedantic(run_engine, setup=run_loop, rounds=settings.repeats, warmup_rounds=1)
    loop, engine = loop[1:], engine[1:]
    prefix, about = _engine_figures(collect, num_tests, engine)
    collect.figure(f"{prefix}.loop_triples_per_second", f"{about}: per-triple loop", "triples/s", loop)
    ratios = [mine / other for mine, other in zip(engine, loop, strict=True)]
    collect.figure(f"{prefix}.ratio", f"{about}: engine / loop", "×", ratios)
    collect.facts |= _about(graph, job)
    collect_use(collect, prefix, about, job, settings.device)


def measure_the_engine_with_many_test_triples(
    benchmark: BenchmarkFixture, collect: Collector, graph: Graph, settings: Settings
) -> None:
    """Measure the engine alone: the loop would hold a gradient of the whole model for each test triple."""
    if settings.device == "cpu":
        pytest.skip(f"T = {MANY_TESTS:,} is measured on a GPU")
    job, engine = planned(graph, settings, MANY_TESTS, mixed_precision=False), list[float]()
    benchmark.pedantic(
        lambda: engine.append(job.num_rows / timed_run(job, settings.device).seconds),
        rounds=settings.repeats,
        warmup_rounds=1,
    )
    prefix, about = _engine_figures(collect, MANY_TESTS, engine[1:])
    collect.facts |= _about(graph, job)
    collect_use(collect, prefix, about, job, settings.device)


@pytest.mark.parametrize("num_tests", NUMBERS_OF_TESTS)
def measure_mixed_precision_beside_float32(
    benchmark: BenchmarkFixture, collect: Collector, graph: Graph, settings: Settings, num_tests: int
) -> None:
    """Take turns: float32, then mixed precision on the same rows; compare speeds and leaders."""
    if mixed_is_float32(settings.device):
        pytest.skip("--use-mixed-precision is float32 on this CPU, which has no bf16 units: nothing to compare")
    full, mixed = (planned(graph, settings, num_tests, mixed_precision=choice) for choice in (False, True))
    of_full, of_mixed = [], []
    benchmark.pedantic(
        lambda: of_mixed.append(timed_run(mixed, settings.device)),
        setup=lambda: of_full.append(timed_run(full, settings.device)),
        rounds=settings.repeats,
        warmup_rounds=1,
    )
    prefix, about = f"engine.t{num_tests}.mixed", f"T = {num_tests}, mixed precision"
    speeds = [mixed.num_rows / run.seconds for run in of_mixed[1:]]
    ratios = [other.seconds / mine.seconds for mine, other in zip(of_mixed[1:], of_full[1:], strict=True)]
    collect.figure(f"{prefix}.triples_per_second", about, "triples/s", speeds)
    collect.figure(f"{prefix}.ratio", f"{about}: speed / float32's", "×", ratios)
    overlaps = leaders_in_common(of_full[-1].result, of_mixed[-1].result)
    collect.figure(f"{prefix}.overlap", f"{about}: top {LEADERS} in common with float32", "", overlaps)


@pytest.mark.parametrize("num_tests", [1, 16])
def measure_agreement_of_mixed_precision(
    benchmark: BenchmarkFixture, collect: Collector, graph: Graph, settings: Settings, num_tests: int
) -> None:
    """Compare the scores of all training triples, on some test triples; a CPU without bf16 units rounds for it."""
    rounding: PrecisionName = "mixed" if settings.device == "cuda" else "bf16-emulated"
    tests = graph.tests(num_tests)[: settings.sizes.agreement_tests]

    def scores(precision: PrecisionName) -> np.ndarray:
        config = RunConfig.of(device=settings.device, precision=precision)
        return all_scores(graph.store, graph.checkpoint, tests, config=config, threads=settings.threads)

    full = scores("float32")
    mixed = benchmark.pedantic(scores, args=(rounding,), rounds=1)
    prefix, about = f"engine.t{num_tests}.mixed", f"{len(tests)} test triple(s), {rounding}, all rows"
    rows = list(zip(full, mixed, strict=True))
    collect.figure(f"{prefix}.spearman", f"{about}: Spearman with float32", "", [spearman(*row) for row in rows])
    overlaps = [overlap_of_leaders(*row, LEADERS) for row in rows]
    collect.figure(f"{prefix}.overlap_of_all", f"{about}: top {LEADERS} in common", "", overlaps)


def leaders_in_common(first: InfluenceResult, second: InfluenceResult) -> list[float]:
    """Give, for each test triple, the share of the reported training triples that two results have in common."""
    pairs = zip(first.rankings, second.rankings, strict=True)
    return [len(np.intersect1d(one.train_index, other.train_index)) / len(one) for one, other in pairs]


def _engine_figures(collect: Collector, num_tests: int, speeds: Sequence[float]) -> tuple[str, str]:
    """Add the engine's speeds; give how the names and the titles of all figures of this number begin."""
    prefix, about = f"engine.t{num_tests}", f"T = {num_tests}"
    collect.figure(f"{prefix}.triples_per_second", f"{about}: engine", "triples/s", speeds)
    collect.figure(f"{prefix}.pairs_per_second", f"{about}: engine", "pairs/s", [num_tests * speed for speed in speeds])
    return prefix, about


def _about(graph: Graph, job: Scoring) -> dict[str, object]:
    config = graph.checkpoint.config
    return {
        "graph": graph.name,
        "num_entities": config.num_entities,
        "num_relations": config.num_relations,
        "embedding_dim": config.embedding_dim,
        "rows": job.num_rows,
        "batch_size": job.plan.batch_size,
        "modes": str(job.plan.modes),
        "planned_bytes": job.plan.memory.total,
    }
