"""Checks what is asked against the store and the checkpoint, before anything is planned or started."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.influence.cost import Workload
from tracin_dask.models.checkpoint import Checkpoint, check_fits
from tracin_dask.models.conve import ConvEConfig
from tracin_dask.models.series import check_series
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.learning_rates import settle_learning_rates
from tracin_dask.triples.store import TripleStore

TestTriples = ndarray | Sequence[Sequence[int]] | Sequence[Sequence[str]]
"""Test triples as ids or as labels: an array [test, 3], or tuples (head, relation, tail)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRun:
    """What is asked, checked: everything fits, and nothing is left open."""

    store: TripleStore
    checkpoints: tuple[Checkpoint, ...]
    """In the order of the sum over them."""
    test_triples: Int[ndarray, "test 3"] | None
    config: RunConfig
    learning_rates: tuple[float, ...]
    """One per checkpoint."""
    tracked: frozenset[str]

    @property
    def model_config(self) -> ConvEConfig:
        """The sizes, which all checkpoints have."""
        return self.checkpoints[0].config

    @property
    def workload(self) -> Workload:
        """The sizes that a plan is made from."""
        return Workload(
            num_triples=self.store.info.num_triples,
            num_heads=self.store.info.num_distinct_heads,
            num_pairs=self.store.info.num_distinct_head_relations,
            num_tests=0 if self.test_triples is None else len(self.test_triples),
            num_checkpoints=len(self.checkpoints),
        )


def prepare(
    store: TripleStore,
    checkpoints: Checkpoint | Sequence[Checkpoint],
    test_triples: TestTriples | None = None,
    *,
    config: RunConfig | None = None,
) -> PreparedRun:
    """Check that store, checkpoints and test triples belong together, and settle what was left open.

    Raises
    ------
    CheckpointError
        If a checkpoint does not fit the store's id maps, or several are not models of one training.
    ConfigError
        If the mode and the test triples contradict each other, a test triple is not of this graph, a pattern of
        parameters matches nothing, or there are not as many learning rates as checkpoints.
    """
    config = config or RunConfig(mode="self" if test_triples is None else "test")
    if config.mode == "test" and test_triples is None:
        raise ConfigError("mode 'test' explains test triples, and none are given; give some, or choose mode 'self'")
    if config.mode == "self" and test_triples is not None:
        raise ConfigError("mode 'self' is about the training triples alone; leave the test triples out")
    info = store.info
    checkpoints = (checkpoints,) if isinstance(checkpoints, Checkpoint) else tuple(checkpoints)
    for checkpoint in checkpoints:
        check_fits(
            checkpoint,
            num_entities=info.num_entities,
            num_relations=info.num_relations,
            id_maps_sha256=info.id_maps_sha256,
        )
    check_series(checkpoints)
    return PreparedRun(
        store=store,
        checkpoints=checkpoints,
        test_triples=None if test_triples is None else resolve_test_triples(store, test_triples),
        config=config,
        learning_rates=settle_learning_rates(config.learning_rates, checkpoints),
        tracked=config.tracked(checkpoints[0].config),
    )


def resolve_test_triples(store: TripleStore, test_triples: TestTriples) -> Int[ndarray, "test 3"]:
    """Turn test triples into ids; texts are looked up as labels.

    Raises
    ------
    ConfigError
        If there are none, or one has not three parts, an unknown label, or an id that is no integer or out of range.
    """
    table = _table(test_triples)
    if table.dtype.kind == "U":
        maps = (store.entities, store.relations, store.entities)
        ids = np.stack([m.ids(table[:, column].tolist()) for column, m in enumerate(maps)], axis=1)
    else:
        ids = table.astype(np.int64)
    info = store.info
    wrong = (ids < 0) | (ids >= [info.num_entities, info.num_relations, info.num_entities])
    if wrong.any():
        row, column = (int(index) for index in np.argwhere(wrong)[0])
        role = ("head", "relation", "tail")[column]
        limit = info.num_relations if column == 1 else info.num_entities
        raise ConfigError(
            f"test triple {row + 1} of {len(ids)} {tuple(table[row].tolist())}: the {role} {table[row, column]!s} is "
            f"not among the {limit:,} that {store.path} knows; {int(wrong.any(axis=1).sum())} test triple(s) in all "
            "are unknown to it"
        )
    return ids


def _table(test_triples: TestTriples) -> ndarray:
    """Put test triples into an array [test, 3] of integers or of texts."""
    expected = "expected test triples as rows of (head, relation, tail), ids or labels"
    try:
        table = np.array(test_triples.tolist() if isinstance(test_triples, ndarray) else test_triples)
    except ValueError as error:
        raise ConfigError(f"{expected}, found rows of different lengths ({error})") from error
    if table.ndim != 2 or table.shape[1] != 3 or len(table) == 0:
        raise ConfigError(f"{expected}, found an array {table.shape}")
    if table.dtype.kind not in "iU":
        raise ConfigError(f"{expected}, found numbers of type {table.dtype}; ids are integers")
    return table
