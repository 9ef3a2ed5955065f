"""The graph that `train` trains on: of text files, or of triples of PyKEEN."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from tracin_dask.cli.actions.training_sources import (
    INTEGERS,
    MAPS,
    SHAPE,
    kind_of,
    load_pykeen,
    refuse_options_of_text,
)
from tracin_dask.cli.options.shape import shape_of
from tracin_dask.cli.options.training import GraphFlags
from tracin_dask.cli.options.values import PykeenDataset
from tracin_dask.cli.say import say
from tracin_dask.errors import ConfigError
from tracin_dask.models.training.graph import Graph, GraphFiles, read_graph
from tracin_dask.models.training.settings import TrainingData
from tracin_dask.places.place import Place
from tracin_dask.triples.idmap import LABEL_FIRST
from tracin_dask.triples.text import read_triples

if TYPE_CHECKING:
    from tracin_dask.models.pykeen.imports import CoreTriplesFactory
    from tracin_dask.models.pykeen.training_data import Split


def graph_of(options: GraphFlags) -> Graph:
    """Read the triples and the id maps.

    Raises
    ------
    ConfigError
        If options do not go together, or PyKEEN has no such triples.
    TriplesError
        If a file cannot be read.
    """
    given: dict[Split, Place | PykeenDataset | None]
    given = {"train": options["train"], "valid": options["valid"], "test": options["test"]}
    sources = {split: source for split, source in given.items() if source is not None}
    kinds = {split: kind_of(source) for split, source in sources.items()}
    about_texts = MAPS if "text" in kinds.values() else (*MAPS, *INTEGERS, *SHAPE)
    for split, source in sources.items():
        if kinds["train"] == "text" and kinds[split] == "pykeen":
            raise ConfigError(f"--{split} {source}: triples of PyKEEN need a --train of PyKEEN, which has their ids")
        refuse_options_of_text(options, source, about_texts)
    if kinds["train"] == "text":
        return read_graph(_graph_files(options), say)
    return _graph_of_pykeen(sources, options)


def _graph_files(options: GraphFlags) -> GraphFiles:
    return GraphFiles(
        train=_place(options["train"]),
        valid=None if options["valid"] is None else _place(options["valid"]),
        test=None if options["test"] is None else _place(options["test"]),
        entity_to_id=options["entity_to_id"],
        relation_to_id=options["relation_to_id"],
        labels=options["labels"],
        ids=options["ids"],
        map_columns=options["map_columns"],
        shape=shape_of(options),
    )


def _place(source: Place | PykeenDataset) -> Place:
    assert not isinstance(source, PykeenDataset)  # noqa: S101 - it is a text file
    return source


def _graph_of_pykeen(sources: "Mapping[Split, Place | PykeenDataset]", options: GraphFlags) -> Graph:
    training = load_pykeen(sources["train"])
    with tempfile.TemporaryDirectory(prefix="tracin-dask-") as folder:
        graph = _read_training(training, Path(folder))
    others = {
        split: _read_other(split, source, training, graph, options)
        for split, source in sources.items()
        if split != "train"
    }
    data = TrainingData(
        train=graph.data.train,
        valid=others.get("valid", graph.data.valid),
        test=others.get("test", graph.data.test),
        id_maps_sha256=graph.data.id_maps_sha256,
        sources={f"{split}_path": str(source) for split, source in sources.items()},
    )
    return replace(graph, data=data)


def _read_training(training: "CoreTriplesFactory", folder: Path) -> Graph:
    """Read what `ingest` reads of a training of PyKEEN: labels that files cannot hold are refused."""
    from tracin_dask.models.pykeen.graph import read_id_maps, write_graph  # noqa: PLC0415 - PyKEEN is optional

    write_graph(training, read_id_maps(training), folder)
    entities, relations = (folder / f"{kind}_to_id.tsv" for kind in ("entity", "relation"))
    files = GraphFiles(
        train=folder / "train.txt", entity_to_id=entities, relation_to_id=relations, ids=True, map_columns=LABEL_FIRST
    )
    return read_graph(files)


def _read_other(
    split: "Split", source: Place | PykeenDataset, training: "CoreTriplesFactory", graph: Graph, options: GraphFlags
) -> Int64[np.ndarray, "row 3"]:
    """Read validation or test triples, of PyKEEN or of a text file, with the ids of the training."""
    from tracin_dask.models.pykeen.graph import other_triples  # noqa: PLC0415 - PyKEEN is optional

    if kind_of(source) == "pykeen":
        other = load_pykeen(source, split)
        triples: Int64[np.ndarray, "row 3"] = other_triples(training, other, f"--{split} {source}").numpy()
        return triples
    return read_triples(
        _place(source),
        graph.entities,
        graph.relations,
        labels=options["labels"],
        ids=options["ids"],
        shape=shape_of(options),
    )
