"""The order of inverse relations in a checkpoint's table, compared with that in the relation map."""

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.triples.inverse_relations import order_of, pair_out_of_order
from tracin_dask.triples.store import TripleStore


def refuse_other_inverses(checkpoint: Checkpoint, store: TripleStore) -> None:
    """Refuse a relation map whose names say that inverses stand elsewhere than in the checkpoint's table.

    Raises
    ------
    CheckpointError
        If one does; unless the checkpoint states that it was trained with these maps.
    """
    if checkpoint.inverse_order is None or checkpoint.id_maps_sha256 == store.info.id_maps_sha256:
        return
    pair = pair_out_of_order(store.relations, checkpoint.inverse_order)
    if pair is None:
        return
    found = order_of(store.relations)
    of_map = f"the rows {found}" if found else "other rows"
    raise CheckpointError(
        f"{checkpoint.path}: models of its kind have relation r and its inverse in the rows "
        f"{checkpoint.inverse_order}, but the relation map of {store.path} has them in {of_map} (R: the number of "
        f"relations without their inverses): {pair}. Scores would be those of other relations: give the relation map "
        "of the training. If this is that map, because inverses stood in the training file, give them other names"
    )
