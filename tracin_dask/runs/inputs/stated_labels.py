"""The labels that a checkpoint states for its rows, compared with those of the store."""

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.triples.store import TripleStore


def refuse_other_labels(checkpoint: Checkpoint, store: TripleStore) -> None:
    """Refuse a checkpoint whose rows belong to other labels than the ids of the store.

    Raises
    ------
    CheckpointError
        With the first label that differs.
    """
    labels = checkpoint.labels
    if labels is None:
        return
    step = 2 if labels.has_made_inverses else 1
    for kind, stated, id_map, every in (
        ("entity", labels.entities, store.entities, 1),
        ("relation", labels.relations, store.relations, step),
    ):
        pairs = zip(stated, id_map.labels.to_pylist(), strict=True)
        different = ((row, *pair) for row, pair in enumerate(pairs) if row % every == 0 and pair[0] != pair[1])
        for row, theirs, ours in different:
            raise CheckpointError(
                f"{checkpoint.path} was trained with other id maps of the same size: its {kind} {row} is {theirs!r}, "
                f"and {ours!r} in the id map; give the maps of the training"
            )
