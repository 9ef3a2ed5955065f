"""From training triples as a caller lists them to their rows in the store."""

from tracin_dask.errors import ConfigError
from tracin_dask.runs.inputs.resolve import resolve_triples
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.training_triples import ListedTriples, TrainingTriples, find_training_triples


def resolve_training_triples(store: TripleStore, given: ListedTriples | None, option: str) -> TrainingTriples | None:
    """Find the training triples that an option lists; None if it lists none.

    Raises
    ------
    ConfigError
        If one is unknown or no training triple, or they were found in another store.
    """
    if given is None:
        return None
    if isinstance(given, TrainingTriples):
        if given.store_fingerprint != store.info.fingerprint:
            raise ConfigError(f"{option} lists training triples of another store than {store.path}; read them again")
        return given
    if type(given) is str or len(given) == 0:
        raise ConfigError(
            f"{option} lists training triples as rows of (head, relation, tail), at least one; "
            "read_training_triples(path, store) reads them from a file"
        )
    ids = resolve_triples(store, given, f"triple of {option}")
    found, missing = find_training_triples(store, ids)
    if len(missing):
        first = int(missing[0])
        raise ConfigError(
            f"triple {first + 1} of {len(ids)} of {option} {tuple(ids[first].tolist())} is not a training triple of "
            f"{store.path}; of {len(missing)} in all this is true, so list training triples only"
        )
    return found
