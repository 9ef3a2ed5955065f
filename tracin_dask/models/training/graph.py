"""The files of a graph to train on, read into ids; id maps are made where none are given."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tracin_dask.errors import ConfigError
from tracin_dask.models.training.settings import TrainingData
from tracin_dask.places.explained import writing
from tracin_dask.places.files import exists, read_bytes
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of
from tracin_dask.places.stream import input_place
from tracin_dask.triples.discover import discover_id_maps, say_if_swapped
from tracin_dask.triples.idmap import (
    IdMap,
    MapColumns,
    id_map_bytes,
    id_maps_sha256,
    read_id_map,
    say_nothing,
    write_id_map,
)
from tracin_dask.triples.integers import maps_of
from tracin_dask.triples.shape import PLAIN, Shape
from tracin_dask.triples.text import open_triples, read_triples


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFiles:
    """Text files of triples, and the id maps, which are given both or not at all.

    Bare integers are what is stated, `labels` or `ids`, or else ids.
    """

    train: AnyPath
    valid: AnyPath | None = None
    test: AnyPath | None = None
    entity_to_id: AnyPath | None = None
    relation_to_id: AnyPath | None = None
    labels: bool = False
    ids: bool = False
    map_columns: MapColumns | None = None
    """The order of the columns of the id maps, where it does not follow from them."""
    shape: Shape = PLAIN

    def __post_init__(self) -> None:
        """Refuse one id map without the other.

        Raises
        ------
        ConfigError
            With the one that is missing.
        """
        if (self.entity_to_id is None) != (self.relation_to_id is None):
            missing = "--relation-to-id" if self.relation_to_id is None else "--entity-to-id"
            raise ConfigError(f"{missing} is missing; give both id maps, or none to have both made from the triples")

    @property
    def texts(self) -> dict[str, AnyPath]:
        """The given files of triples, by their purpose."""
        given = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: path for name, path in given.items() if path is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A graph in ids, with the labels of the ids."""

    entities: IdMap
    relations: IdMap
    data: TrainingData


def read_graph(files: GraphFiles, say: Callable[[str], object] = say_nothing) -> Graph:
    """Read all triples and the id maps; `say` is called with what a user should know of them.

    Without id maps the labels of all files get their ids in the order of the text.

    Raises
    ------
    TriplesError
        If a file cannot be read, names something that the id maps do not know, or has integers that could be ids or
        labels.
    """
    given = _given_id_maps(files, say)
    texts = {name: input_place(path) for name, path in files.texts.items()}
    train = open_triples(
        texts["train"], maps_of(*(given or (None, None))), labels=files.labels, ids=files.ids, shape=files.shape
    )
    has_ids = train.has_ids
    entities, relations = given or _made_id_maps(texts.values(), files.shape, has_ids=has_ids)
    if given is None and not has_ids:
        say_if_swapped(texts["train"], entities, relations, say)
    nothing: NDArray[np.int64] = np.empty((0, 3), dtype=np.int64)
    triples = {
        name: read_triples(path, entities, relations, labels=not has_ids, ids=has_ids and files.ids, shape=files.shape)
        for name, path in texts.items()
    }
    data = TrainingData(
        train=triples["train"],
        valid=triples.get("valid", nothing),
        test=triples.get("test", nothing),
        id_maps_sha256=id_maps_sha256(entities, relations),
        sources={f"{name}_path": str(path) for name, path in files.texts.items()},
    )
    return Graph(entities=entities, relations=relations, data=data)


def num_untrained(graph: Graph) -> int:
    """Count the entities that validation or test triples have, and no training triple."""
    train, others = graph.data.train, np.concatenate([graph.data.valid, graph.data.test])
    return len(np.setdiff1d(others[:, [0, 2]], train[:, [0, 2]]))


def write_id_maps(graph: Graph, folder: AnyPath, *, overwrite: bool = False) -> tuple[Place, Place]:
    """Write entity_to_id.tsv and relation_to_id.tsv into the folder of the models that need them.

    Raises
    ------
    ConfigError
        If other maps are there, unless these may be replaced: the models of that folder belong to them.
    """
    place = place_of(folder)
    entities, relations = place / "entity_to_id.tsv", place / "relation_to_id.tsv"
    with writing(place, "the id maps"):
        place.make_folder()
        for path, id_map in ((entities, graph.entities), (relations, graph.relations)):
            if not overwrite and exists(path) and read_bytes(path) != id_map_bytes(id_map):
                raise ConfigError(
                    f"{path} exists already with other labels; choose another --output-dir, or remove it and its "
                    "models with --overwrite"
                )
            write_id_map(path, id_map)
    return entities, relations


def _given_id_maps(files: GraphFiles, say: Callable[[str], object]) -> tuple[IdMap, IdMap] | None:
    if files.entity_to_id is None or files.relation_to_id is None:
        return None
    read = partial(read_id_map, columns=files.map_columns, say=say)
    return read(files.entity_to_id, "entity"), read(files.relation_to_id, "relation")


def _made_id_maps(texts: Iterable[Place], shape: Shape, *, has_ids: bool) -> tuple[IdMap, IdMap]:
    opened = [open_triples(path, shape=shape) for path in texts]
    found = [discover_id_maps(replace(text, has_ids=has_ids)) for text in opened]
    join = _longest if has_ids else _joined
    return join([entities for entities, _ in found]), join([relations for _, relations in found])


def _longest(id_maps: list[IdMap]) -> IdMap:
    return max(id_maps, key=len)


def _joined(id_maps: list[IdMap]) -> IdMap:
    return IdMap.of(sorted({label for id_map in id_maps for label in id_map.labels.to_pylist()}))
