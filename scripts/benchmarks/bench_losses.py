"""Section losses: the engine under the losses of training, beside `bce`; and a whole run over several checkpoints."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.figures import Collector
from benchmarks.gpu import collect_use
from benchmarks.processes import run_measured, tracin_dask
from benchmarks.scoring import Scoring, scoring, timed_run
from benchmarks.settings import Settings
from benchmarks.workloads import UMLS, Graph
from tracin_dask import SLCWA, BinaryCrossEntropy, OneToAll, RunConfig
from tracin_dask.influence.losses import AnyLoss
from tracin_dask.runs.prepare import prepare

LOSSES: dict[str, AnyLoss] = {"one-to-all": OneToAll(label_smoothing=0.1), "slcwa": SLCWA(num_negatives=1)}
CHECKPOINTS, EPOCHS = 5, 25


def planned(graph: Graph, settings: Settings, loss: AnyLoss, num_tests: int) -> Scoring:
    """Plan a run of all parameters under a loss."""
    config = RunConfig.of(top_k=100, loss=loss, device=settings.device)
    prepared = prepare(graph.store, graph.checkpoint, graph.tests(num_tests), config=config)
    return scoring(prepared, rows=settings.sizes.rows[num_tests], threads=settings.threads)


@pytest.mark.parametrize("num_tests", [1, 16])
@pytest.mark.parametrize("name", LOSSES)
def measure_a_loss_beside_bce(
    benchmark: BenchmarkFixture, collect: Collector, graph: Graph, settings: Settings, *, name: str, num_tests: int
) -> None:
    """Take turns: the loss of the triple's own score, then the other one, on the same rows."""
    plain, other = (planned(graph, settings, loss, num_tests) for loss in (BinaryCrossEntropy(), LOSSES[name]))
    of_plain: list[float] = []
    of_other: list[float] = []
    benchmark.pedantic(
        lambda: of_other.append(timed_run(other, settings.device).seconds),
        setup=lambda: of_plain.append(timed_run(plain, settings.device).seconds),
        rounds=settings.repeats,
        warmup_rounds=1,
    )
    prefix, about = f"losses.{name}.t{num_tests}", f"T = {num_tests}: {name}"
    speeds = [other.num_rows / seconds for seconds in of_other[1:]]
    collect.figure(f"{prefix}.triples_per_second", about, "triples/s", speeds)
    ratios = [mine / theirs for mine, theirs in zip(of_other[1:], of_plain[1:], strict=True)]
    collect.figure(f"{prefix}.times_bce", f"{about}, time / that of bce", "×", ratios)
    collect_use(collect, prefix, about, other, settings.device)


def measure_several_checkpoints(benchmark: BenchmarkFixture, collect: Collector, settings: Settings) -> None:
    """Explain all test triples of UMLS by five checkpoints of one training, as a command."""
    model = settings.scratch / "umls"
    files = [word for name in ("train", "valid", "test") for word in (f"--{name}", UMLS / f"{name}.txt")]
    sizes = ("--embedding-dim", "32", "--embedding-height", "8", "--embedding-width", "4")
    num_epochs = CHECKPOINTS if settings.is_quick else EPOCHS
    epochs = ("--num-epochs", f"{num_epochs}", "--checkpoint-frequency", f"{num_epochs // CHECKPOINTS}")
    run_measured(tracin_dask("train", *files, "--output-dir", model, *sizes, *epochs))
    command = tracin_dask(
        *("run", "--model-path", model / "checkpoints", "--train", UMLS / "train.txt", "--test", UMLS / "test.txt"),
        *("--cache-dir", model / "cache", "--loss", "one-to-all", "--label-smoothing", "0.1"),
        *("--output-dir", model / "why", "--overwrite", "--restart", "--device", settings.device),
    )
    seconds: list[float] = []
    benchmark.pedantic(lambda: seconds.append(run_measured(command).seconds), rounds=settings.repeats, warmup_rounds=1)
    title = f"UMLS, {CHECKPOINTS} checkpoints, one-to-all, all 661 test triples: the command"
    collect.figure("losses.umls.seconds", title, "s", seconds[1:])
