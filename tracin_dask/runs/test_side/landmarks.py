"""Which training triples are the landmarks of a run."""

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.influence.columns import Targets
from tracin_dask.influence.landmarks import Landmarks
from tracin_dask.runs.options.scoring import ScoringOptions
from tracin_dask.runs.test_side.locality import neighbourhood_of
from tracin_dask.triples.neighbourhood import listed_rows
from tracin_dask.triples.store import TripleStore


def landmarks_of(store: TripleStore, scoring: ScoringOptions, targets: Targets) -> Landmarks:
    """Draw the landmarks; those near the test triples come first, where these are preferred."""
    number = min(scoring.settled_landmarks, len(store))
    random = np.random.default_rng(scoring.landmarks_seed)
    rows = np.empty(0, np.int64)
    if scoring.landmarks_near:
        rows = random.permutation(_near(store, targets))[:number]
    if len(rows) < number:
        others = random.choice(len(store), min(len(store), number + len(rows)), replace=False)
        rows = np.concatenate([rows, others[~np.isin(others, rows)]])[:number]
    blocks = [block.triples for block, _ in listed_rows(store, np.sort(rows), 0, len(store))]
    return Landmarks(triples=np.concatenate(blocks), num_triples=len(store), damping=scoring.settled_damping)


def _near(store: TripleStore, targets: Targets) -> Int64[ndarray, " row"]:
    """List the training triples that touch the test triples."""
    found = neighbourhood_of(store, np.unique(targets.triples[:, [0, 2]]))
    if found.rows is not None:
        return found.rows
    return np.concatenate([np.empty(0, np.int64), *(rows for _, rows in found.read(store, 0, len(store)))])
