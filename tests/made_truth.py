"""A small graph with two known paths of one pair, and a result of it made by hand."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
from made_results import ABOUT, ranked

from tracin_dask.report.labels import Labels, Texts
from tracin_dask.report.result import InfluenceResult, RankedTriples
from tracin_dask.report.truth.values import KnownEdges, KnownPath, KnownPaths, Truth

ENTITIES = ["D:1", "G:1", "G:2", "G:3", "M:1", "D:2"]
RELATIONS = [
    ("predicate:0", "biolink:treats"),
    ("predicate:1", "biolink:affects (expression, increased)"),
    ("predicate:2", "biolink:affects"),
    ("predicate:3", "biolink:causes"),
]
DRUG, DISEASE = 0, 4
ENTRIES = [
    (5, 0, 4),  # no known triple
    (0, 1, 1),  # first step of the first path, qualified
    (4, 3, 2),  # last step of the second path, backwards
    (1, 3, 4),  # last step of the first path
    (0, 3, 4),  # both ends of the pair, no neighbours
    (1, 2, 2),  # entities of two different paths
    (0, 2, 3),  # first step of the second path
]
INFLUENCES = [9.0, -8.0, 7.0, 6.0, -5.0, 4.0, 0.5]
TRUTH = Truth(
    edges=KnownEdges(triples=(("D:1", "biolink:affects", "G:1"), ("G:1", "biolink:causes", "M:1"))),
    paths=KnownPaths(
        paths=(
            KnownPath(drug="D:1", disease="M:1", intermediates=("G:1",)),
            KnownPath(drug="D:1", disease="M:1", intermediates=("G:3", "G:2")),
            KnownPath(drug="D:2", disease="M:1", intermediates=("G:1",)),
        )
    ),
)
COLUMNS = {
    "is_ground_truth": [1, 3],
    "is_ground_truth_strict": [3],
    "in_path": [1, 2, 3, 4, 6],
    "on_specific_path": [1, 2, 3, 6],
    "on_specific_path_strict": [3, 6],
}
"""Places of the entries that are known, found by hand."""


def texts(pairs: list[tuple[str, str | None]]) -> Texts:
    labels, names = (pa.array([pair[part] for pair in pairs], pa.string()) for part in (0, 1))
    return Texts(ids=np.arange(len(pairs)), labels=labels, names=names)


def hand_made(entries=ENTRIES, influences=INFLUENCES, tests=((DRUG, 0, DISEASE),), **others) -> InfluenceResult:
    """Make a result in which every test triple has the same list."""
    listed = RankedTriples(
        triples=np.array(entries).reshape(-1, 3),
        influence=np.array(influences, float),
        train_index=np.arange(len(influences)),
    )
    result = InfluenceResult(
        test_triples=np.array(tests),
        rankings=(listed,) * len(tests),
        further=(ranked([]),) * len(tests),
        top_k=len(influences),
        learning_rate=0.1,
        labels=Labels(entities=texts([(label, None) for label in ENTITIES]), relations=texts(RELATIONS)),
        run=ABOUT,
    )
    return replace(result, **others)
