"""Which rows of embedding tables the test side reads, and whether only the training triples that touch them count."""

import errno
import logging
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.influence.columns import Question, Targets, columns_of
from tracin_dask.influence.losses import reads
from tracin_dask.influence.losses.base import OWN_SCORE
from tracin_dask.influence.preconditioners.base import Scope
from tracin_dask.models.config import ModelConfig
from tracin_dask.models.scoring import Role
from tracin_dask.places.place import BusyError
from tracin_dask.runs.options.scoring import ScoringOptions
from tracin_dask.triples.entity_rows import EntityRows, entity_rows
from tracin_dask.triples.neighbourhood import Neighbourhood, counted_neighbourhood
from tracin_dask.triples.store import TripleStore

logger = logging.getLogger(__name__)

TestIds = Mapping[Role, Int64[ndarray, " id"]]
_UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}


def ids_of_columns(scoring: ScoringOptions, question: Question, targets: Targets, num_entities: int) -> TestIds:
    """List the entities and relations at whose rows the columns of single scores have gradients."""
    blocks = columns_of(question, scoring.loss, targets, num_entities).blocks
    triples = np.concatenate([block.triples for block in blocks])
    return {"entity": np.unique(triples[:, [0, 2]]), "relation": np.unique(triples[:, 1])}


def needs_all_rows(scoring: ScoringOptions, question: Question, targets: Targets | None) -> bool:
    """Tell whether P is needed for gradients at any row: of columns at all scores, and of training triples.

    Self-influence and norms multiply the gradients of training triples with P.
    """
    return targets is None or scoring.normalize != "none" or question.reads_all_scores(scoring.loss)


def is_local(scoring: ScoringOptions, config: ModelConfig, tracked: frozenset[str]) -> bool:
    """Tell whether only training triples that touch the test triples have any influence.

    Their gradients must be at the rows of their own heads and tails alone, and no landmarks in between.
    """
    tables = {table.name for table in config.tables if table.role == "entity"}
    return tracked <= tables and reads(scoring.loss) == OWN_SCORE and scoring.curvature != "landmarks"


def neighbourhood_of(store: TripleStore, entities: Int64[ndarray, " entity"]) -> Neighbourhood:
    """Find the training triples that touch entities by the store's index, which is made where it is missing.

    Where it cannot be made, all rows are read to find them, which is said.

    Raises
    ------
    StoreError
        If the index is damaged, or that of another store.
    OSError
        If the index cannot be read.
    """
    index = index_of(store)
    return counted_neighbourhood(store, entities) if index is None else Neighbourhood.of(index, entities)


def index_of(store: TripleStore) -> EntityRows | None:
    """Open the store's index, which is made where it is missing; None, which is said, where it cannot be made.

    Raises
    ------
    StoreError
        If the index is damaged, or that of another store.
    OSError
        If the index cannot be read.
    """
    try:
        return entity_rows(store)
    except BusyError as error:
        logger.warning("%s; this run reads all training triples to find those that count", error)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        logger.warning(
            "%s has no index of its entities, and none can be written (%s): this run reads all training triples to "
            "find those that count",
            store.path,
            error.strerror,
        )
    return None


def scope_of(
    store: TripleStore,
    config: ModelConfig,
    tracked: frozenset[str],
    ids: TestIds | None,
    neighbourhood: Neighbourhood | None,
    *,
    batch_size: int,
) -> Scope:
    """Say what a preconditioner is needed for."""
    tables = [table for table in config.tables if table.name in tracked]
    return Scope(
        num_triples=len(store),
        batch_size=batch_size,
        num_ids={"entity": store.info.num_entities, "relation": store.info.num_relations},
        ids=ids,
        row_sizes={table.name: table.row_size for table in tables},
        roles={table.name: table.role for table in tables},
        touching=None if neighbourhood is None or ids is None else neighbourhood.most_rows,
    )
