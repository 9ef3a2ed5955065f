"""The job for self-influences of a few triples, which needs the curvature at other rows than the scores do."""

from dataclasses import replace

from jaxtyping import Int
from numpy import ndarray

from tracin_dask.influence.columns import Question, Targets
from tracin_dask.runs.prepare import PreparedRun
from tracin_dask.runs.test_side.locality import ids_of_columns, needs_all_rows, neighbourhood_of, scope_of
from tracin_dask.runs.work.job import ScoreJob


def own_job(prepared: PreparedRun, job: ScoreJob, triples: Int[ndarray, "row 3"]) -> ScoreJob:
    """Give the job for gradients of the loss of these triples; raises as `neighbourhood_of`.

    With a pass over the training triples, the preconditioner is to be found anew, for the rows that they touch.
    """
    if job.scope is None or job.scope.ids is None:
        return job
    scoring, own = prepared.config.scoring, Targets(triples=triples)
    ids, near = None, None
    if not needs_all_rows(scoring, Question(), own):
        ids = ids_of_columns(scoring, Question(), own, prepared.store.info.num_entities)
        near = None if prepared.neighbourhood is None else neighbourhood_of(prepared.store, ids["entity"])
    scope = scope_of(
        prepared.store, prepared.model_config, prepared.tracked, ids, near, batch_size=job.scope.batch_size
    )
    return replace(job, scope=scope, neighbourhood=near, gathered=())
