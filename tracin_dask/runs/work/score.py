"""What a worker does: load the checkpoints once, prepare the test triples, score a range of rows, merge."""

import operator
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from tracin_dask.errors import ConfigError
from tracin_dask.influence.columns import Targets, answers_of, prepare_question
from tracin_dask.influence.engine import Engine, EngineModel, EngineSettings, Factors
from tracin_dask.influence.normalised import NormalisedScorer, question_norms
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.influence.summed import SummedScorer, self_scores
from tracin_dask.influence.tensors import move
from tracin_dask.models.checkpoints.checkpoint_file import Contents
from tracin_dask.runs.options.computing import Device
from tracin_dask.runs.plan.plan import Rows
from tracin_dask.runs.work import loading
from tracin_dask.runs.work.allocator import keep_freed_memory
from tracin_dask.runs.work.job import Counters, OnRows, Prepared, Scored, ScoreJob, TestSide, bytes_of
from tracin_dask.runs.work.oom_retry import InPieces
from tracin_dask.runs.work.stream import stream


def load_ahead(job: ScoreJob) -> None:
    """Load the checkpoints before the first task needs them, which then counts them."""
    device, precision = _set_up(job)
    for file in job.checkpoints:
        model, is_new = loading.loaded(file, device, precision)
        if is_new:
            model.is_counted = False


def prepare_test(job: ScoreJob, targets: Targets) -> Prepared:
    """Compute the test triples' factors, once for all tasks."""
    engines, loads = engines_of(job)
    with torch.no_grad():
        norms = question_norms(engines, job.question, targets).cpu() if job.normalize == "cosine" else None
        tests = tuple(move(factors_of(job, engine, targets), "cpu") for engine in engines)
    return Prepared(
        tests=tests,
        answers=answers_of(targets, job.question.num_gradients(job.loss)),
        norms=norms,
        counters=Counters(checkpoint_loads=loads, test_factor_computations=1),
    )


def factors_of(job: ScoreJob, engine: Engine, targets: Targets) -> Factors:
    """Compute the columns of the test triples for a question."""
    return prepare_question(engine, job.question, targets, batch_size=job.batch_size)


def score_rows(job: ScoreJob, test: TestSide, rows: Rows, *, on_rows: OnRows | None = None) -> Scored:
    """Score a range of rows, and keep what the reductions make of it."""
    started = time.perf_counter()
    engines, loads = engines_of(job)
    counters = Counters(rows=rows[1] - rows[0], tasks=1, checkpoint_loads=loads)
    if isinstance(test, Targets):
        test = prepare_test(job, test)
        counters += test.counters
    with torch.no_grad():
        if test is None:
            batches, halved = InPieces(lambda ids: [self_scores(engines, ids)]), 0
            kept = stream(job, batches, rows, on_rows)
        else:
            work = _run_here(job, engines, test)
            batches, halved = work.batches, work.batches.halvings
            kept = stream(job, batches, rows, on_rows, work.seen)
            work.remember(rows, kept)
    return Scored(
        kept=kept,
        kept_bytes=bytes_of(job.reductions, kept),
        counters=replace(
            counters,
            task_seconds=time.perf_counter() - started,
            batch_halvings=batches.halvings - halved,
        ),
        device=engines[0].model.device.type,
        precision=_precision_name(engines[0]),
    )


def resolve_device(device: Device) -> torch.device:
    """Choose the device of this process: `auto` takes CUDA if there is any.

    Raises
    ------
    ConfigError
        If CUDA is asked for and there is none.
    """
    is_available = torch.cuda.is_available()
    if device == "cuda" and not is_available:
        raise ConfigError(
            f"device cuda is asked for, but PyTorch {torch.__version__} finds no GPU in this process; "
            "leave --device out, or install a PyTorch with CUDA on a machine that has one"
        )
    if device == "auto":
        return torch.device("cuda" if is_available else "cpu")
    return torch.device(device)


def engines_of(job: ScoreJob) -> tuple[list[Engine], int]:
    """Give an engine per checkpoint of a job, and how many checkpoints had to be loaded for them."""
    device, precision = _set_up(job)
    found = [loading.loaded(file, device, precision) for file in job.checkpoints]
    pairs = zip(found, job.learning_rates, strict=True)
    engines = [model.ready.engine(_settings(job, learning_rate)) for (model, _), learning_rate in pairs]
    return engines, sum(is_new for _, is_new in found)


def remember_models(job: ScoreJob, models: Sequence[Contents]) -> None:
    """Make the models of a job ready, which are loaded already, and keep them in place of those before."""
    device, precision = _set_up(job)
    _runs_here.clear()
    for file, model in zip(job.checkpoints, models, strict=True):
        loading.remember(file, model, device, precision)


def forget_test() -> None:
    """Let go of what is laid out for the test triples of the last run."""
    _runs_here.clear()


def _set_up(job: ScoreJob) -> tuple[torch.device, Precision]:
    """Set this process up for a job, and forget what it holds of others."""
    torch.set_num_threads(job.threads)
    keep_freed_memory()
    device = resolve_device(job.device)
    precision = Precision.named(job.precision, device)
    precision.let_products_round()
    if loading.keep_only(job.checkpoints, device, precision):
        _runs_here.clear()
    return device, precision


def _settings(job: ScoreJob, learning_rate: float) -> EngineSettings:
    return EngineSettings(
        tracked=job.tracked,
        loss=job.loss,
        learning_rate=learning_rate,
        modes=job.modes,
        recompute=job.gradient_checkpointing,
    )


@dataclass(slots=True)
class _RunHere:
    """What this process keeps of a run from task to task."""

    job: ScoreJob
    tests: tuple[Factors, ...]
    models: list[EngineModel]
    batches: InPieces
    seen: dict[str, Any] = field(default_factory=dict)
    """Outcomes of all rows that were scored here, of the reductions that need them."""
    scored: list[Rows] = field(default_factory=list)
    """The rows that `seen` is about."""

    def remember(self, rows: Rows, kept: Mapping[str, Any]) -> None:
        """Take in what a task found; rows that are scored again, for a worker that was lost, must not count twice."""
        start, stop = rows
        if any(first < stop and start < end for first, end in self.scored):
            return
        self.scored.append(rows)
        for reduction in self.job.reductions:
            if reduction.needs.seen:
                name = reduction.name
                before = [self.seen[name]] if name in self.seen else []
                self.seen[name] = reduction.merge([*before, kept[name]])


_runs_here: list[_RunHere] = []
"""The last run, so that the test triples are laid out once for all its tasks."""


def _run_here(job: ScoreJob, engines: Sequence[Engine], test: Prepared) -> _RunHere:
    """Give what is kept of a run; its tasks on one worker get the very same factors."""
    models = [engine.model for engine in engines]
    for known in _runs_here:
        same_job = replace(known.job, loss=job.loss) == job
        if known.tests is test.tests and same_job and all(map(operator.is_, known.models, models)):
            return known
    pairs = zip(engines, test.tests, strict=True)
    scorers = [make_scorer(engine, factors, test.answers) for engine, factors in pairs]
    scorer = scorers[0] if len(scorers) == 1 else SummedScorer(scorers)
    score = scorer.parts if job.normalize == "none" else NormalisedScorer(scorer, engines, test.norms).parts
    _runs_here[:] = [_RunHere(job, test.tests, models, InPieces(score))]
    return _runs_here[0]


def _precision_name(engine: Engine) -> str:
    working = str(engine.model.dtype).removeprefix("torch.")
    return working if engine.precision is Precision.FULL else f"{engine.precision.value} products, {working} sums"
