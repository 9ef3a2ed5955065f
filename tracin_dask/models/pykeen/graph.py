"""The graph of a PyKEEN training as files that `tracin-dask run` reads: id maps, and the triples trained on.

With inverse triples PyKEEN trains on twice the relations: its table has a row for every relation and one for its
inverse, and every triple is there backwards, too. The files say it that way, so that ids are rows of the tables.
"""

import filecmp
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import torch
from jaxtyping import Int
from torch import Tensor

from tracin_dask.errors import ConfigError, TriplesError
from tracin_dask.models.checkpoints.contents.labels import INVERSE_SUFFIX
from tracin_dask.models.pykeen.imports import CoreTriplesFactory, TriplesFactory
from tracin_dask.places.part import part_of
from tracin_dask.triples.idmap import LABEL_FIRST, IdMap, Kind, id_map_bytes, id_maps_sha256, read_id_map


@dataclass(frozen=True, slots=True, kw_only=True)
class IdMaps:
    """The labels of the rows of a PyKEEN model's embedding tables; `sha256` identifies them."""

    entities: IdMap
    relations: IdMap
    sha256: str


def read_id_maps(factory: CoreTriplesFactory) -> IdMaps:
    """Take the labels from PyKEEN, those of inverse relations included where PyKEEN trains on them.

    Raises
    ------
    ConfigError
        If there are no labels, or not one for every id.
    """
    if not isinstance(factory, TriplesFactory):
        raise ConfigError(
            f"a {type(factory).__name__} has no labels, which results need; give its "
            "with_labels(entity_to_id=..., relation_to_id=...)"
        )
    entities = IdMap.of(_labels(factory.entity_to_id, factory.num_entities, "entity"))
    names = _labels(factory.relation_to_id, factory.real_num_relations, "relation")
    relations = IdMap.of(_with_inverses(factory, names) if factory.create_inverse_triples else names)
    return IdMaps(entities=entities, relations=relations, sha256=id_maps_sha256(entities, relations))


def training_triples(factory: CoreTriplesFactory) -> Int[Tensor, "triple 3"]:
    """Give the triples that PyKEEN trains on, as rows of the tables: with inverse triples, these follow."""
    triples = factory.mapped_triples
    if not factory.create_inverse_triples:
        return triples
    inverter = factory.relation_inverter
    return torch.cat([inverter.map(triples), inverter.map(triples, invert=True).flip(1)])


def other_triples(training: CoreTriplesFactory, other: CoreTriplesFactory, option: str) -> Int[Tensor, "triple 3"]:
    """Give validation or test triples, which `option` names, as rows of the tables of a training.

    Raises
    ------
    ConfigError
        If they have other labels or ids.
    """
    ids = [(each.entity_to_id, each.relation_to_id) for each in (training, other) if isinstance(each, TriplesFactory)]
    if len(ids) < len((training, other)) or ids[0] != ids[1]:
        raise ConfigError(
            f"{option} has other labels or ids than the training triples of PyKEEN; give triples of the same dataset, "
            "or a text file with labels"
        )
    triples = other.mapped_triples
    return training.relation_inverter.map(triples) if training.create_inverse_triples else triples


def write_graph(factory: CoreTriplesFactory, id_maps: IdMaps, folder: Path) -> None:
    """Write entity_to_id.tsv, relation_to_id.tsv and train.txt, which holds ids: labels may look like ids.

    Raises
    ------
    ConfigError
        If one of them is there with other contents, or labels cannot be told apart in a file of lines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_new(folder / "entity_to_id.tsv", partial(_write_id_map, id_maps.entities, "entity"))
    _write_new(folder / "relation_to_id.tsv", partial(_write_id_map, id_maps.relations, "relation"))
    _write_new(folder / "train.txt", partial(_write_triples, training_triples(factory)))


def _labels(ids: Mapping[str, int], num_ids: int, kind: Kind) -> list[str]:
    labels = {number: str(label) for label, number in ids.items()}
    if sorted(labels) != list(range(num_ids)):
        raise ConfigError(
            f"{len(labels):,} {kind} labels for {num_ids:,} ids; give every id from 0 to {num_ids - 1:,} one label"
        )
    return [labels[number] for number in range(num_ids)]


def _with_inverses(factory: CoreTriplesFactory, labels: list[str]) -> list[str]:
    """Put relations and their inverses at the rows where PyKEEN has them."""
    rows = torch.zeros((len(labels), 3), dtype=torch.int64)
    rows[:, 1] = torch.arange(len(labels))
    placed = [""] * factory.num_relations
    for is_inverse, suffix in ((False, ""), (True, INVERSE_SUFFIX)):
        mapped = factory.relation_inverter.map(rows, invert=is_inverse)[:, 1].tolist()
        for row, label in zip(mapped, labels, strict=True):
            placed[row] = label + suffix
    return placed


def _write_new(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file whole; one that exists already must be the same."""
    part = part_of(path)
    write(part)
    if path.exists() and not filecmp.cmp(path, part, shallow=False):
        part.unlink()
        raise ConfigError(f"{path} exists already with other contents; choose another output_dir")
    part.replace(path)


def _write_id_map(id_map: IdMap, kind: Kind, part: Path) -> None:
    part.write_bytes(id_map_bytes(id_map))
    try:
        read_id_map(part, kind, columns=LABEL_FIRST)
    except TriplesError as error:
        part.unlink()
        raise ConfigError(f"labels that a file of lines cannot hold: {error}") from error


def _write_triples(triples: Int[Tensor, "triple 3"], part: Path) -> None:
    columns = triples.cpu().numpy().astype(np.int64).T
    table = pa.table({str(number): np.ascontiguousarray(column) for number, column in enumerate(columns)})
    options = pa.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    pa.csv.write_csv(table, part, options)
