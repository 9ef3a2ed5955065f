"""Carries out a plan: hands its tasks out, merges and records what comes back, makes the result."""

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from tracin_dask.influence.reductions import num_ranked, topk
from tracin_dask.influence.reductions.topk import Ranking, TopK
from tracin_dask.models.checkpoints.checkpoint_file import CheckpointFile, Contents
from tracin_dask.monitor.watch import Watch
from tracin_dask.patience import Patience
from tracin_dask.places.place import AnyPath
from tracin_dask.report.result import InfluenceResult, Norms
from tracin_dask.report.self_influences import SelfInfluences
from tracin_dask.resources import Resources, WorkerOptions
from tracin_dask.runs.audit.choice import Chosen, choose
from tracin_dask.runs.audit.compare import Compared
from tracin_dask.runs.audit.verdict import about_audit, refuse_deviation
from tracin_dask.runs.execute.announce import Announcer
from tracin_dask.runs.execute.in_process import InProcess
from tracin_dask.runs.identity import record_identity, result_identity, score_identity
from tracin_dask.runs.plan.plan import Plan, Rows
from tracin_dask.runs.predictions.made import predictions_of
from tracin_dask.runs.predictions.task import RankTask, TripleScores
from tracin_dask.runs.prepare import PreparedRun
from tracin_dask.runs.provenance import about_run
from tracin_dask.runs.reductions import Reductions
from tracin_dask.runs.result import further_rankings, make_result
from tracin_dask.runs.sinks import records
from tracin_dask.runs.sinks.records import Records
from tracin_dask.runs.sinks.saved_scores import Scores, claim, complete, locked, scores_of
from tracin_dask.runs.test_side.own_gradients import own_job
from tracin_dask.runs.work.job import Counters, OnRows, Scored, ScoreJob, merge_scored
from tracin_dask.runs.work.reported import AboutReported, Contributions, Reported, about_rankings, divided
from tracin_dask.types import Progress

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How a run is carried out; what it scores is in `RunConfig`.

    Attributes
    ----------
    resources
        Workers, threads and memory; by default those of the client, or of this process.
    workers
        Number and size of the workers that a run starts on a cluster; their size also counts in this process.
    record_directory
        Where finished groups of rows are recorded, so that a run that was cut off goes on where it stopped. They stay
        when the run ends: `records.discard` deletes them once the result is safe. None records nothing.
    restart
        Discard what was recorded there, and what an interrupted run wrote to `SavingOptions.save_scores`.
    progress
        Called with (rows done, all rows), possibly from another thread.
    patience
        How long the run waits for a cluster that does not answer, or has no workers left.
    workers_return
        Whether workers may still come once all of them are gone; else the run ends then.
    """

    resources: Resources | None = None
    workers: WorkerOptions = field(default_factory=WorkerOptions)
    record_directory: AnyPath | None = None
    restart: bool = False
    progress: Progress | None = None
    patience: Patience = field(default_factory=Patience)
    workers_return: bool = True


@runtime_checkable
class Executor(Protocol):
    """A way to carry out tasks: in this process, or on a Dask cluster."""

    def prepare(self) -> Counters:
        """Compute what all tasks share."""
        ...

    def score(self, groups: Iterable[list[Rows]], on_rows: OnRows) -> Iterator[tuple[Rows, Scored]]:
        """Give each group's rows and outcome when it is finished, in any order."""
        ...

    def audit(self, chosen: Chosen) -> Compared:
        """Compute some influences once more, by plain automatic differentiation."""
        ...

    def predictions(self, parts: Sequence[RankTask]) -> Sequence[TripleScores]:
        """Score and rank test triples by the model of the last checkpoint; gives the outcome of each part."""
        ...

    def contributions(self, reported: Reported) -> Contributions:
        """Tell what each checkpoint adds to the influences of the reported training triples, before any division."""
        ...

    def norms(self, reported: Reported) -> Norms:
        """Give the norms of the gradients of the test triples and of the reported training triples."""
        ...

    def self_influences(self, job: ScoreJob, reported: Reported) -> SelfInfluences:
        """Give the self-influences of the test triples and of the reported training triples, by a job for these."""
        ...


def carry_out(
    prepared: PreparedRun, plan: Plan, *, client: "Client | None" = None, execution: Execution | None = None
) -> InfluenceResult:
    """Carry out a plan; raises as `tracin_dask.run`."""
    execution = execution or Execution()
    scores = scores_of(prepared)
    with ExitStack() as stack:
        if scores is not None:
            stack.enter_context(locked(scores))
        if execution.record_directory is not None:
            stack.enter_context(records.locked(execution.record_directory))
        return _carry_out(prepared, plan, scores, client=client, execution=execution)


def _carry_out(
    prepared: PreparedRun, plan: Plan, scores: Scores | None, *, client: "Client | None", execution: Execution
) -> InfluenceResult:
    """Carry out a plan whose outputs no other run writes."""
    started, clock = datetime.now(UTC), time.perf_counter()
    recorded, reductions = _open_outputs(scores, prepared, plan, execution)
    meter = _Meter(plan.num_triples, execution.progress)
    run_id = uuid.uuid4().hex[:8]
    announcer = Announcer(client, run_id, prepared, plan)
    job = _job(prepared, plan, reductions)
    executor = _executor(prepared, job, client, execution, run_id)
    config = prepared.config
    num_rankings = prepared.num_answers
    try:
        total, resumed_rows = _score_all(executor, plan, recorded, meter, announcer, job=job)
        top: TopK = total.kept[topk.NAME]
        rankings = tuple(topk.ranked(top, index, config.ranking.rank_by) for index in range(num_rankings))
        further = further_rankings(prepared, top, rankings)
        found = _about_reported(executor, prepared, job, rankings, further)
        about = about_run(prepared, plan) | {
            "device": total.device,
            "precision": total.precision,
            "started": started.isoformat(timespec="seconds"),
            "statistics": asdict(total.counters) | {"resumed_rows": resumed_rows},
        }
        about |= _num_ranked(prepared, total)
        predictions, about_predictions = predictions_of(prepared, executor.predictions)
        about |= about_predictions
        about |= _audit(executor, prepared, rankings, clock, execution.record_directory)
        about["identity"] = result_identity(prepared)
        about["seconds"] = round(time.perf_counter() - clock, 3)
        if scores is not None:
            about["saved_scores"] = str(scores.path)
            complete(scores, about)
    except BaseException as error:
        announcer.failed(error)
        raise
    announcer.finished(top)
    result = make_result(prepared, total.kept, rankings, further, about, found=found)
    return replace(result, predictions=predictions)


def _open_outputs(
    scores: Scores | None, prepared: PreparedRun, plan: Plan, execution: Execution
) -> tuple[Records | None, Reductions]:
    """Open the records of finished groups and the array of all influences, where there are to be any."""
    recorded, address = None, None
    if execution.record_directory is not None:
        identity = record_identity(prepared, plan)
        recorded = Records(execution.record_directory, identity, prepared.reductions(), restart=execution.restart)
    if scores is not None:
        has_records = recorded is not None and not recorded.is_empty
        identity = score_identity(prepared, plan)
        address = claim(scores, identity, plan.batch_size, has_records=has_records, restart=execution.restart)
    return recorded, prepared.reductions(address)


def _score_all(
    executor: Executor,
    plan: Plan,
    recorded: Records | None,
    meter: "_Meter",
    announcer: Announcer,
    *,
    job: ScoreJob,
) -> tuple[Scored, int]:
    """Merge what is recorded and what is still to be scored; gives the rows that were found recorded, too.

    A preconditioner that needs a pass over the training triples gets it also where all rows are recorded.
    """
    total: Scored | None = None
    done: list[Rows] = []
    for rows, scored in recorded.finished() if recorded else ():
        total = scored if total is None else merge_scored(job.reductions, [total, scored])
        done.append(rows)
    resumed_rows = sum(stop - start for start, stop in done)
    if done:
        meter.add(resumed_rows)
    groups = list(plan.groups(done))
    announcer.started(sum(len(group) for group in groups), resumed_rows)
    shared = executor.prepare() if groups or job.needs_pass else Counters()
    for rows, scored in executor.score(groups, meter.add):
        if recorded is not None:
            recorded.write(rows, scored)
        total = scored if total is None else merge_scored(job.reductions, [total, scored])
        announcer.best(total.kept[topk.NAME])
    assert total is not None, "a store has at least one triple"  # noqa: S101 - ingest refuses empty files
    return total.counting(shared), resumed_rows


def _about_reported(
    executor: Executor,
    prepared: PreparedRun,
    job: ScoreJob,
    rankings: Sequence[Ranking],
    further: Sequence[Ranking],
) -> AboutReported:
    """Give norms, self-influences and what each checkpoint adds to reported influences, as far as these are needed."""
    config, is_ensemble = prepared.config, prepared.num_trainings > 1
    asked = [topk.joined(pair) for pair in zip(rankings, further, strict=True)] if is_ensemble else rankings
    triples = [ranking.triples for ranking in asked]
    norms = executor.norms(triples) if config.scoring.normalize != "none" else None
    found = executor.contributions(triples) if config.saving.checkpoint_contributions or is_ensemble else None
    if found is not None and norms is not None:
        found = divided(found, norms, config.scoring.normalize, [ranking.influence for ranking in asked])
    about = about_rankings(norms, found, [len(ranking) for ranking in rankings])
    return replace(about, self_influences=_self_influences(executor, prepared, job, rankings))


def _self_influences(
    executor: Executor, prepared: PreparedRun, job: ScoreJob, rankings: Sequence[Ranking]
) -> SelfInfluences | None:
    """Give the self-influences of the test triples and of the rankings, if that is asked."""
    if not prepared.config.saving.also_self_influence or prepared.test_triples is None:
        return None
    reported = [ranking.triples for ranking in rankings]
    own = own_job(prepared, job, np.unique(np.concatenate([prepared.test_triples, *reported]), axis=0))
    return executor.self_influences(own, reported)


def _audit(
    executor: Executor,
    prepared: PreparedRun,
    rankings: Sequence[Ranking],
    clock: float,
    records: AnyPath | None,
) -> Mapping[str, Any]:
    """Audit a run that began at a time of the clock, if that is asked; raises as `refuse_deviation`."""
    if prepared.config.computing.audit == 0:
        return {}
    compared = executor.audit(choose(prepared, rankings, time.perf_counter() - clock))
    refuse_deviation(compared, prepared, records)
    return {"audit": about_audit(compared)}


def _num_ranked(prepared: PreparedRun, total: Scored) -> dict[str, int]:
    """State how many training triples are ranked, where masks leave out the same ones for every test triple."""
    sizes = prepared.masks.sizes
    return {} if sizes is None or sizes.by_pair else {"num_ranked_rows": int(total.kept[num_ranked.NAME][0])}


class _Meter:
    """Counts rows; rows that are scored twice, because a worker was lost, do not count beyond the end."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total, self._progress = total, progress
        self.done = 0

    def add(self, rows: int) -> None:
        self.done = min(self.done + rows, self._total)
        if self._progress is not None:
            self._progress(self.done, self._total)


def _executor(
    prepared: PreparedRun, job: ScoreJob, client: "Client | None", execution: Execution, run_id: str
) -> Executor:
    cache = prepared.config.computing.cache_test_gradients
    if client is None:
        pairs = zip(prepared.checkpoints, prepared.states, strict=True)
        models = [Contents(model=checkpoint.model, state=state) for checkpoint, state in pairs]
        return InProcess(job, prepared.targets, models=models, cache=cache)
    from tracin_dask.runs.execute.on_dask import OnDask  # noqa: PLC0415 - distributed is slow to import

    watch = Watch(client, execution.patience, workers_return=execution.workers_return)
    return OnDask(client, job, prepared.targets, run=run_id, cache=cache, watch=watch)


def _job(prepared: PreparedRun, plan: Plan, reductions: Reductions) -> ScoreJob:
    method = prepared.config.scoring.method
    return ScoreJob(
        store=prepared.store,
        checkpoints=tuple(
            CheckpointFile.of(checkpoint, prepared.tracked if method else (), method)
            for checkpoint in prepared.checkpoints
        ),
        learning_rates=tuple(rate / prepared.num_trainings for rate in prepared.learning_rates),
        num_columns=prepared.num_answers,
        scoring=prepared.config.scoring,
        computing=prepared.config.computing,
        question=prepared.question,
        tracked=prepared.tracked,
        modes=plan.modes,
        batch_size=plan.batch_size,
        segment_rows=plan.segment_rows,
        scope=prepared.scope(plan.batch_size),
        neighbourhood=prepared.neighbourhood,
        landmarks=prepared.landmarks,
        threads=plan.resources.threads_per_worker,
        reductions=reductions,
        masks=prepared.masks,
    )
