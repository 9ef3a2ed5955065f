"""Checks what is asked against the store and the checkpoint, before anything is planned or started."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.influence.columns import Question, Targets
from tracin_dask.influence.cost import Keys, Workload
from tracin_dask.influence.engine import EngineOptions, engine_kind
from tracin_dask.influence.landmarks import Landmarks
from tracin_dask.influence.losses import num_parts, reads, refuse_wrong_value
from tracin_dask.influence.losses.base import ALL_SCORES, is_separable
from tracin_dask.influence.masks.base import Masks
from tracin_dask.influence.precision import PrecisionName, working_dtype
from tracin_dask.influence.preconditioners.base import Scope, State
from tracin_dask.models.checkpoints.checkpoint import Checkpoint, check_fits
from tracin_dask.models.checkpoints.series import check_trainings, trainings_of
from tracin_dask.models.config import ModelConfig
from tracin_dask.report.sets import TestSets
from tracin_dask.runs.audit.memory import audit_bytes
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.inputs.answers import test_sets
from tracin_dask.runs.inputs.groupings import Grouping, grouping_of
from tracin_dask.runs.inputs.inverse_relations import refuse_other_inverses
from tracin_dask.runs.inputs.learning_rates import settle_learning_rates
from tracin_dask.runs.inputs.listed_triples import resolve_training_triples
from tracin_dask.runs.inputs.masks.chosen import masks_of
from tracin_dask.runs.inputs.masks.walks import Report
from tracin_dask.runs.inputs.poor_options import warn_of_poor_options
from tracin_dask.runs.inputs.resolve import TestTriples, resolve_triples
from tracin_dask.runs.inputs.stated_labels import refuse_other_labels
from tracin_dask.runs.predictions.memory import rank_bytes
from tracin_dask.runs.reductions import Reductions, reductions_of, top_of
from tracin_dask.runs.sinks.score_writer import ScoresAddress
from tracin_dask.runs.test_side.landmarks import landmarks_of
from tracin_dask.runs.test_side.locality import (
    TestIds,
    ids_of_columns,
    is_local,
    needs_all_rows,
    neighbourhood_of,
    scope_of,
)
from tracin_dask.triples.named import named_ids
from tracin_dask.triples.neighbourhood import Neighbourhood
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.suggestions import why_unknown
from tracin_dask.triples.training_triples import TrainingTriples
from tracin_dask.triples.windows import most_distinct
from tracin_dask.turn import usual_turn


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRun:
    """What is asked, checked: everything fits, and nothing is left open."""

    store: TripleStore
    checkpoints: tuple[Checkpoint, ...]
    """In the order of the sum over them."""
    test_triples: Int[ndarray, "test 3"] | None
    contrast_tails: Int[ndarray, " test"] | None
    """The tails that those of the test triples are held against, where that is asked."""
    config: RunConfig
    trainings: tuple[int, ...]
    """The number of each checkpoint's training: influences are averaged over trainings."""
    learning_rates: tuple[float, ...]
    """One per checkpoint."""
    tracked: frozenset[str]
    states: tuple[State, ...]
    """What the preconditioner's method read of each checkpoint; empty without one."""
    groupings: tuple[Grouping, ...] = ()
    """By which influences are added up."""
    sets: TestSets | None = None
    """Which test triples are explained together; None where each is explained by itself."""
    listed: TrainingTriples | None = None
    """Training triples whose exact ranks are asked for."""
    masks: Masks = field(default_factory=Masks)
    """Which training triples are ranked."""
    landmarks: Landmarks | None = None
    """Training triples through which the whole curvature is found, where it is."""
    neighbourhood: Neighbourhood | None = None
    """What touches the test triples, where no other training triple has any influence; None where all may have."""

    @property
    def num_trainings(self) -> int:
        """Count the trainings."""
        return 1 + max(self.trainings)

    @property
    def ids_of_columns(self) -> TestIds:
        """The entities and relations at whose rows the test side has gradients, where it is about single scores."""
        assert self.targets is not None  # noqa: S101 - asked where something is explained
        return ids_of_columns(self.config.scoring, self.question, self.targets, self.store.info.num_entities)

    def scope(self, batch_size: int) -> Scope | None:
        """Say what a preconditioner with a pass is needed for; None without one."""
        scoring = self.config.scoring
        if scoring.method is None or not scoring.method.needs_pass:
            return None
        ids = None if needs_all_rows(scoring, self.question, self.targets) else self.ids_of_columns
        return scope_of(self.store, self.model_config, self.tracked, ids, self.neighbourhood, batch_size=batch_size)

    @property
    def model_config(self) -> ModelConfig:
        """The sizes, which all checkpoints have."""
        first = self.checkpoints[0]
        with usual_turn():
            return engine_kind(first.config).config_for(first.model, self.config.scoring.loss)

    @property
    def question(self) -> Question:
        """What is asked of the test triples."""
        return Question(explain=self.config.question.explain, is_contrast=self.contrast_tails is not None)

    @property
    def targets(self) -> Targets | None:
        """What is explained; None for self-influence."""
        if self.test_triples is None:
            return None
        answers = None if self.sets is None else self.sets.of_test
        return Targets(triples=self.test_triples, contrast_tails=self.contrast_tails, answers=answers)

    @property
    def num_answers(self) -> int:
        """Count the answers: test triples, or sets of them; 1 for self-influence."""
        return 1 if self.targets is None else self.targets.num_answers

    @property
    def workload(self) -> Workload:
        """The sizes that a plan is made from."""
        info, loss = self.store.info, self.config.scoring.loss
        scored, pairs, meeting = info.num_triples, info.num_distinct_head_relations, 0
        if self.neighbourhood is not None:
            near, meeting = self.neighbourhood, self.neighbourhood.num_heads
            scored = min(scored, near.most_rows)
            pairs = min(pairs, near.num_tails + min(meeting, len(near.entities) * info.num_relations))
        return Workload(
            num_rows=info.num_triples,
            is_far=self.store.is_far,
            num_triples=scored,
            num_meeting=meeting,
            num_heads=min(scored, pairs, info.num_distinct_heads),
            num_pairs=min(scored, pairs),
            num_tests=self._num_gradients,
            num_negatives=num_parts(loss) - 1,
            all_scores=reads(loss) == ALL_SCORES,
            shares_pairs=reads(loss) != ALL_SCORES or is_separable(loss),
            tests_at_all_scores=self.question.reads_all_scores(loss),
            num_checkpoints=len(self.checkpoints),
            num_columns=self.num_answers,
            most_keys=None if self.neighbourhood is not None or num_parts(loss) > 1 else self._most_keys,
            reductions=self.reductions(),
            masks=self.masks.sizes,
            is_preconditioned=self.config.scoring.method is not None
            and (self.config.scoring.curvature != "rows" or reads(loss) == ALL_SCORES),
            matrix_bytes=self._matrix_bytes,
            prediction_bytes=self._prediction_bytes,
            audit_bytes=0 if self.config.computing.audit == 0 else self._audit_bytes,
        )

    def _most_keys(self) -> Callable[[int], Keys]:
        """Look at the store for what neighbouring rows share."""
        most = most_distinct(self.store)

        def of(num_rows: int) -> Keys:
            if num_rows < most.num_rows:
                return Keys.all_distinct(num_rows)
            heads, pairs = (ceil(share * num_rows) for share in (most.heads, most.pairs))
            return Keys(rows=num_rows, heads=heads, pairs=pairs)

        return of

    @property
    def _matrix_bytes(self) -> int:
        """Count the bytes of the matrices of the curvature, of one checkpoint."""
        if self.landmarks is not None:
            return 8 * len(self.landmarks.triples) * (len(self.landmarks.triples) + self.num_answers)
        scope = self.scope(batch_size=1) if self.config.scoring.curvature == "rows" else None
        return 0 if scope is None else max(scope.matrix_bytes, self._own_matrix_bytes(scope))

    def _own_matrix_bytes(self, scope: Scope) -> int:
        """Bound the bytes of the matrices that self-influences of reported triples need, where these are asked for."""
        if not self.config.saving.also_self_influence or self.test_triples is None:
            return 0
        triples = len(self.test_triples) + self.config.ranking.top_k * self.num_answers
        is_anywhere = needs_all_rows(self.config.scoring, Question(), self.targets)
        return scope.bound_matrix_bytes(None if is_anywhere else triples * num_parts(self.config.scoring.loss))

    def reductions(self, address: ScoresAddress | None = None) -> Reductions:
        """Give what is kept of the influences; all of them are written to the `address` that was claimed for them."""
        return reductions_of(
            self.config,
            top=top_of(self.config.ranking, self.store.info.num_relations, skips_zeros=self.neighbourhood is not None),
            groupings=self.groupings,
            listed=self.listed,
            masks=self.masks,
            address=address,
        )

    @property
    def _prediction_bytes(self) -> int:
        tests = self.test_triples
        return 0 if tests is None else rank_bytes(self.checkpoints[-1].model, len(tests))

    @property
    def _audit_bytes(self) -> int:
        scoring = self.config.scoring
        return audit_bytes(self.checkpoints[0].model, scoring.loss, is_preconditioned=scoring.method is not None)

    @property
    def _num_gradients(self) -> int:
        """Count the gradients that training triples are multiplied with."""
        if self.test_triples is None:
            return 0
        loss = self.config.scoring.loss
        landmarks = 0 if self.landmarks is None else len(self.landmarks.triples) * num_parts(loss)
        return self.question.num_gradients(loss) * len(self.test_triples) + landmarks


def prepare(
    store: TripleStore,
    checkpoints: Checkpoint | Sequence[Checkpoint] | Sequence[Sequence[Checkpoint]],
    test_triples: TestTriples | None = None,
    *,
    config: RunConfig | None = None,
    progress: Report = lambda *_: None,
) -> PreparedRun:
    """Check that store, checkpoints and test triples belong together, and settle what was left open.

    Checkpoints in sequences of their own are those of several trainings. `progress` is called where all training
    triples are read for masks: with what is searched, those that were read, and all of them.

    Raises
    ------
    CheckpointError
        If a checkpoint does not fit the store's id maps, or several are not models of one training; or if a
        preconditioner is asked for and the state of the optimiser is missing or does not fit.
    ConfigError
        If the mode and the test triples contradict each other, a test triple is not of this graph, a pattern of
        parameters matches nothing, there are not as many learning rates as checkpoints, or groups are of another store.
    """
    with usual_turn():
        return _prepared(store, checkpoints, test_triples, config, progress)


def _prepared(
    store: TripleStore,
    checkpoints: Checkpoint | Sequence[Checkpoint] | Sequence[Sequence[Checkpoint]],
    test_triples: TestTriples | None,
    config: RunConfig | None,
    progress: Report,
) -> PreparedRun:
    config = config or RunConfig.of(mode="self" if test_triples is None else "test")
    if config.question.mode == "test" and test_triples is None:
        raise ConfigError("mode 'test' explains test triples, and none are given; give some, or choose mode 'self'")
    if config.question.mode == "self" and test_triples is not None:
        raise ConfigError("mode 'self' is about the training triples alone; leave the test triples out")
    refuse_wrong_value(config.scoring.loss)
    info = store.info
    trainings = trainings_of(checkpoints)
    checkpoints = tuple(checkpoint for training in trainings for checkpoint in training)
    for checkpoint in checkpoints:
        check_fits(
            checkpoint,
            num_entities=info.num_entities,
            num_relations=info.num_relations,
            id_maps_sha256=info.id_maps_sha256,
        )
        refuse_other_inverses(checkpoint, store)
        refuse_other_labels(checkpoint, store)
        _refuse_unsupported(checkpoint, config)
        _check_dtype(checkpoint, config.computing.precision)
    check_trainings(trainings)
    tests = None if test_triples is None else resolve_triples(store, test_triples)
    if tests is None and (config.question.contrast or config.question.explain != "loss"):
        raise ConfigError("another tail, and explaining the score, are about test triples; mode 'self' has none")
    config = config.changed(candidates=resolve_training_triples(store, config.masking.candidates, "candidates"))
    tracked = config.scoring.tracked(checkpoints[0].config)
    method = config.scoring.method
    prepared = PreparedRun(
        store=store,
        checkpoints=checkpoints,
        test_triples=tests,
        contrast_tails=_contrast_tails(store, tests, config.question.contrast),
        sets=test_sets(config.question.together, None if tests is None else len(tests)),
        config=config,
        trainings=tuple(number for number, training in enumerate(trainings) for _ in training),
        learning_rates=settle_learning_rates(config.scoring.learning_rates, checkpoints),
        tracked=tracked,
        states=tuple(method.read(one, tracked) if method else {} for one in checkpoints),
        groupings=tuple(grouping_of(store, by) for by in config.saving.group_by),
        listed=resolve_training_triples(store, config.ranking.rank_of, "rank_of"),
    )
    warn_of_poor_options(config, prepared.trainings)
    return replace(
        prepared,
        masks=masks_of(store, config.masking, prepared.targets, progress),
        neighbourhood=_neighbourhood(prepared),
        landmarks=_landmarks(prepared),
    )


def _landmarks(prepared: PreparedRun) -> Landmarks | None:
    """Draw the landmarks, where the curvature needs some."""
    scoring, targets = prepared.config.scoring, prepared.targets
    if scoring.curvature != "landmarks" or targets is None:
        return None
    return landmarks_of(prepared.store, scoring, targets)


def _neighbourhood(prepared: PreparedRun) -> Neighbourhood | None:
    """Find what touches the test triples, where no other training triple can have any influence."""
    if prepared.targets is None or not is_local(prepared.config.scoring, prepared.model_config, prepared.tracked):
        return None
    return neighbourhood_of(prepared.store, prepared.ids_of_columns["entity"])


def _refuse_unsupported(checkpoint: Checkpoint, config: RunConfig) -> None:
    """Refuse what the engine of this model does not have.

    Raises
    ------
    ConfigError
        Saying why.
    """
    options = EngineOptions(precision=config.computing.precision, recompute=config.computing.gradient_checkpointing)
    try:
        engine_kind(checkpoint.config).refuse_unsupported(checkpoint.model, config.scoring.loss, options)
    except ConfigError as error:
        raise ConfigError(f"{checkpoint.path} is {checkpoint.name}: {error}") from error


def _check_dtype(checkpoint: Checkpoint, precision: PrecisionName) -> None:
    wanted, found = working_dtype(precision), checkpoint.dtype
    if found != wanted:
        raise ConfigError(
            f"precision {precision} computes in {wanted}, and {checkpoint.path} was loaded in {found}; load it with "
            f"dtype={wanted}, or choose another precision"
        )


def _contrast_tails(
    store: TripleStore, tests: Int[ndarray, "test 3"] | None, contrast: tuple[int | str, ...]
) -> Int[ndarray, " test"] | None:
    """Turn other tails into ids, one per test triple.

    Raises
    ------
    ConfigError
        If there are neither one nor as many as test triples, one is unknown, or one is the test triple's own tail.
    """
    if tests is None or not contrast:
        return None
    if len(contrast) not in {1, len(tests)}:
        raise ConfigError(f"{len(contrast)} other tails for {len(tests)} test triples; give one for all, or one each")
    lookup = named_ids(store)[0]
    given = [tail if isinstance(tail, int) else lookup.ids([tail])[0] for tail in contrast]
    ids = np.broadcast_to(np.array(given, dtype=np.int64), len(tests)).copy()
    unknown = np.flatnonzero((ids < 0) | (ids >= store.info.num_entities))
    if len(unknown):
        tail = contrast[unknown[0] % len(contrast)]
        raise ConfigError(f"the other tail {tail} {why_unknown(store, tail, 'tail')}")
    same = np.flatnonzero(ids == tests[:, 2])
    if len(same):
        raise ConfigError(
            f"the other tail {store.entities.label(int(ids[same[0]]))} is that of test triple {same[0] + 1} itself; "
            "leave that test triple out, or give one tail for each that it should be held against"
        )
    return ids
