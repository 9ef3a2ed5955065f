"""What a Dask worker does of a run: functions of tasks, and what a worker keeps from task to task."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dask.sizeof import sizeof
from distributed import get_worker
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.errors import ResumeError, TracInDaskError
from tracin_dask.influence.columns import Targets
from tracin_dask.influence.preconditioners.base import PassPart
from tracin_dask.influence.tensors import num_bytes
from tracin_dask.models.checkpoints.checkpoint_file import SentContents
from tracin_dask.monitor.events import TOPIC, progress_topic
from tracin_dask.places.files import exists
from tracin_dask.report.result import Norms
from tracin_dask.report.self_influences import SelfInfluences
from tracin_dask.runs.audit.choice import Chosen
from tracin_dask.runs.audit.compare import Compared, compare
from tracin_dask.runs.code_digest import scoring_code_digest
from tracin_dask.runs.execute.allocator import keep_freed_memory
from tracin_dask.runs.execute.group_progress import SeldomReport
from tracin_dask.runs.plan.plan import Rows
from tracin_dask.runs.predictions.compute import score_parts
from tracin_dask.runs.predictions.task import RankTask, TripleScores
from tracin_dask.runs.work.job import Counters, Prepared, Scored, ScoreJob, TestSide, merge_scored, this_process
from tracin_dask.runs.work.reported import (
    Contributions,
    Reported,
    contributions,
    reported_norms,
    reported_self_influences,
)
from tracin_dask.runs.work.rows.fit import Gathered, gather
from tracin_dask.runs.work.score import listed_influences, load_ahead, prepare_test, score_rows
from tracin_dask.runs.work.state import WorkerState

Weights = tuple[SentContents | None, ...] | None
"""The weights of the checkpoints that some worker does not see, each in its checkpoint's place."""
STATE = "_tracin_dask_state"
"""The attribute of a Dask worker that holds what it keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What every task needs, held once by each worker; workers copy it from one another."""

    job: ScoreJob
    test: TestSide
    run: str
    """The run's id, under which progress is reported."""
    report_seconds: float
    """Time between two reports of a worker."""


def code() -> str | None:
    """Give the digest of the code that computes scores; None where there are no sources."""
    try:
        return scoring_code_digest()
    except ResumeError:
        return None


def missing(paths: list[str]) -> dict[str, str]:
    """Tell which paths this worker does not see, and why, where there is more to say than that nothing is there."""
    reasons = {path: _why_missing(path) for path in paths}
    return {path: reason for path, reason in reasons.items() if reason is not None}


def _why_missing(path: str) -> str | None:
    try:
        return None if exists(path) else ""
    except TracInDaskError as error:
        return str(error)


def share(shared: Shared, weights: Weights, gathered: Gathered | None) -> Shared:
    """Put weights and what was gathered into what all tasks share."""
    return replace(shared, job=with_weights(shared.job, weights, gathered))


def with_weights(job: ScoreJob, weights: Weights, gathered: Gathered | None = None) -> ScoreJob:
    """Give a job the weights of checkpoints that some worker does not see, and what its preconditioner gathered."""
    if gathered is not None:
        job = replace(job, gathered=gathered)
    if weights is None:
        return job
    pairs = zip(job.checkpoints, weights, strict=True)
    return replace(job, checkpoints=tuple(replace(file, sent=sent) for file, sent in pairs))


def load(job: ScoreJob) -> None:
    """Load the checkpoints before the first task needs them."""
    load_ahead(state_of_worker(job), job)


def share_prepared(shared: Shared, weights: Weights, gathered: Gathered | None) -> Shared:
    """Do the same as `share`, and compute the factors of the test triples."""
    whole = share(shared, weights, gathered)
    assert isinstance(whole.test, Targets)  # noqa: S101 - the test triples, which are not prepared yet
    return replace(whole, test=prepare_test(state_of_worker(whole.job), whole.job, whole.test))


def gather_part(job: ScoreJob, part: PassPart) -> Gathered:
    """Go through some training triples for the preconditioner."""
    return gather(state_of_worker(job), job, part)


def counters(shared: Shared) -> Counters:
    """Tell what the factors of the test triples cost."""
    return shared.test.counters if isinstance(shared.test, Prepared) else Counters()


def influences_of_listed(shared: Shared, rows: Int[ndarray, " listed"]) -> Float[ndarray, "listed column"]:
    """Score batches of listed rows [listed]; gives their influences [listed, column]."""
    return listed_influences(state_of_worker(shared.job), shared.job, shared.test, rows)


def score(known: Sequence[Any], rows: Rows, group: int) -> Scored:
    """Score the rows of a task that is one of a group; progress is reported as events."""
    shared, listed = known
    worker = get_worker()
    topics = [TOPIC, progress_topic(shared.run)]

    def report(count: int) -> None:
        where = {"run": shared.run, "group": group, "task": rows[0]}
        worker.log_event(topics, {"event": "rows", "rows": count, **where})

    seldom = SeldomReport(report, shared.report_seconds)
    return score_rows(state_of_worker(shared.job), shared.job, shared.test, rows, on_rows=seldom, listed=listed)


def audit(job: ScoreJob, targets: Targets | None, chosen: Chosen) -> Compared:
    """Compute some influences once more, by plain automatic differentiation."""
    return compare(state_of_worker(job), job, targets, chosen)


def predictions_of(job: ScoreJob, part: RankTask) -> TripleScores:
    """Score and rank some test triples."""
    [found] = score_parts(state_of_worker(job), job, [part])
    return found


def contributions_of(job: ScoreJob, targets: Targets | None, reported: Reported) -> Contributions:
    """Tell what each checkpoint adds to the reported influences."""
    return contributions(state_of_worker(job), job, targets, reported)


def norms_of(job: ScoreJob, targets: Targets, reported: Reported) -> Norms:
    """Give the lengths of the gradients of test triples and of reported training triples."""
    return reported_norms(state_of_worker(job), job, targets, reported)


def self_influences_of(job: ScoreJob, targets: Targets, reported: Reported) -> SelfInfluences:
    """Give the self-influences of test triples and of reported training triples."""
    return reported_self_influences(state_of_worker(job), job, targets, reported)


def state_of_worker(job: ScoreJob) -> WorkerState:
    """Give what this worker keeps from task to task; a process that is a worker's own keeps freed memory, too."""
    if job.caller != this_process():
        keep_freed_memory()
    state: WorkerState = vars(get_worker()).setdefault(STATE, WorkerState())
    return state


def merge(known: Sequence[Any], outcomes: Sequence[Scored]) -> Scored:
    """Merge the outcomes of the tasks of a group."""
    shared, _ = known
    return merge_scored(shared.job.reductions, outcomes)


@sizeof.register(Shared)  # type: ignore[untyped-decorator] # Dask has no types
def _shared_bytes(shared: Shared) -> int:
    """Tell Dask, which would count a frozen dataclass as nothing, what moving it costs."""
    tests = shared.test.tests if isinstance(shared.test, Prepared) else ()
    return (
        sum(map(num_bytes, tests))
        + sum(len(file.sent) for file in shared.job.checkpoints if file.sent is not None)
        + sum(tensor.nbytes for state in shared.job.gathered for tensor in state.values())
        + sum(mask.num_bytes for mask in shared.job.masks.masks)
        + (0 if shared.job.neighbourhood is None else shared.job.neighbourhood.num_bytes)
    )


@sizeof.register(SentContents)  # type: ignore[untyped-decorator] # Dask has no types
def _sent_bytes(sent: SentContents) -> int:
    return len(sent)


@sizeof.register(Scored)  # type: ignore[untyped-decorator] # Dask has no types
def _scored_bytes(scored: Scored) -> int:
    return scored.kept_bytes
