"""Results that are made by hand, of a graph whose labels are numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tracin_dask.report.groups import GroupInfluences
from tracin_dask.report.labels import Labels, Texts
from tracin_dask.report.result import SCHEMA_VERSION, InfluenceResult, RankedTriples

ABOUT = {
    "schema_version": SCHEMA_VERSION,
    "tracin_dask_version": "0.0",
    "rank_by": "absolute",
    "normalize": "none",
    "preconditioner": "none",
    "explain": "loss",
    "loss": "bce",
    "checkpoints": [{"path": "model.pt", "sha256": "0" * 64, "epoch": None, "learning_rate": 0.1}],
    "num_training_triples": 200,
    "started": "2026-11-27T08:00:00+00:00",
    "seconds": 1.5,
}


def made_labels(triples: np.ndarray, names: Mapping[int, str] | None = None) -> Labels:
    """Label the entities of some triples CHEBI:0, CHEBI:1, ..., and their relations predicate:0, predicate:1."""
    entities, relations = set(triples[:, [0, 2]].ravel().tolist()), set(triples[:, 1].tolist())
    return Labels(
        entities=Texts.of({n: (f"CHEBI:{n}", (names or {}).get(n)) for n in entities}),
        relations=Texts.of({n: (f"predicate:{n}", None) for n in relations}),
    )


def ranked(influences: Sequence[float], first_line: int = 0) -> RankedTriples:
    """Give triples (0, 0, 2) and (1, 1, 2) in turn, on lines in a row, these influences."""
    return RankedTriples(
        triples=np.resize([[0, 0, 2], [1, 1, 2]], (len(influences), 3)),
        influence=np.array(influences, dtype=np.float64),
        train_index=np.arange(first_line, first_line + len(influences)),
    )


def made_result(ranking: RankedTriples, names: Mapping[int, str] | None = None, **others: Any) -> InfluenceResult:
    """Make a result of the test triple (0, 1, 2) with other fields than usual; `run` is added to what is usual."""
    values = {
        "test_triples": np.array([[0, 1, 2]]),
        "contrast_tails": None,
        "rankings": (ranking,),
        "further": (ranked([]),),
        "top_k": 20,
        "learning_rate": 0.1,
    } | others
    tests, tails = values["test_triples"], values["contrast_tails"]
    known = [part.triples for part in (*values["rankings"], *values["further"])]
    known += [] if tests is None else [tests]
    known += [] if tails is None else [np.column_stack([tests[:, :2], tails])]
    labels = made_labels(np.concatenate(known), names)
    return InfluenceResult(**values | {"labels": labels, "run": ABOUT | others.get("run", {})})


def made_groups(group_by: str, influences: np.ndarray, groups: np.ndarray, names: Sequence[str | None]) -> Any:
    """Sum influences [row, test] by the group of each row; labels are numbers."""
    parts = np.stack([influences.clip(min=0), influences.clip(max=0), influences])
    sums = np.stack([parts[:, groups == group].sum(axis=1) for group in range(len(names))], axis=2)
    return GroupInfluences(
        group_by=group_by,
        num_groups=len(names),
        groups=np.arange(len(names)),
        labels=pa.array([f"{number}" for number in range(len(names))]),
        names=pa.array(names, pa.string()),
        num_triples=np.bincount(groups),
        positive=sums[0],
        negative=sums[1],
        net=sums[2],
    )
