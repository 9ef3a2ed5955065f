"""Bare integers in triples: whether they are ids or labels, which only the user can say where labels are integers."""

from collections.abc import Callable, Mapping

from tracin_dask.errors import ConfigError, TriplesError
from tracin_dask.triples.idmap import IdMap, Kind


def refuse_both(*, labels: bool, ids: bool) -> None:
    """Refuse to take integers for both.

    Raises
    ------
    ConfigError
        If both are stated.
    """
    if labels and ids:
        raise ConfigError("--labels and --ids contradict each other: integers are either labels or ids; give only one")


def are_ids(
    all_integers: Callable[[], bool], maps: Mapping[Kind, IdMap], *, labels: bool, ids: bool, where: object
) -> bool:
    """Tell whether triples are ids: all their fields are integers, and these are not stated or known to be labels.

    Parameters
    ----------
    all_integers
        Tells whether all fields are bare integers.
    maps
        The id maps that labels of these fields would be looked up in.
    labels, ids
        What is stated of bare integers; not both.
    where
        The file or option that has the triples, for the message.

    Raises
    ------
    ConfigError
        If both are stated.
    TriplesError
        If nothing is stated, and the integers could be either: a label is an integer, but not its own id.
    """
    refuse_both(labels=labels, ids=ids)
    if labels or not all_integers():
        return False
    if ids:
        return True
    for kind, id_map in maps.items():
        found = id_map.other_integer()
        if found is not None:
            raise TriplesError(
                f"{where}: are its integers ids or labels? They could be either: the {kind} with the label "
                f"{found[0]} has the id {found[1]:,}; give --ids or --labels"
            )
    return True


def maps_of(entities: IdMap | None, relations: IdMap | None) -> dict[Kind, IdMap]:
    """Name the id maps that there are."""
    given: dict[Kind, IdMap | None] = {"entity": entities, "relation": relations}
    return {kind: id_map for kind, id_map in given.items() if id_map is not None}
