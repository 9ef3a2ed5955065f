"""A synthetic graph from its shape to the files in its folder."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synthetic_graph.checkpoint import write_checkpoint
from synthetic_graph.entities import Entities, make_entities, make_names
from synthetic_graph.figures import SkewCounter
from synthetic_graph.files import Labels, write_numbered, write_triples
from synthetic_graph.heads import choices_by_type, draw_degrees
from synthetic_graph.held_out import HeldOut
from synthetic_graph.rows import RowSource
from synthetic_graph.shape import GraphShape
from synthetic_graph.shuffle import Buckets
from synthetic_graph.tails import Popularity
from synthetic_graph.vocabulary import Relations, choose_relations
from tracin_dask.errors import ConfigError
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.places.files import write_json_file
from tracin_dask.places.part import new_directory
from tracin_dask.triples.idmap import IdMap, id_maps_sha256

BUCKET_ROWS = 1 << 20
STATEMENT = "graph.json"
_ROW_BYTES = 12
_NAME_BYTES = 40

Progress = Callable[[str, int, int], None]
"""Told the stage, how much of it is done, and the total."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The sizes of the checkpoint's ConvE and the learning rate that it states."""

    embedding_dim: int
    embedding_height: int
    embedding_width: int
    output_channels: int
    learning_rate: float

    def config(self, shape: GraphShape) -> ConvEConfig:
        """Complete the sizes with those of the graph."""
        return ConvEConfig(
            num_entities=shape.num_entities,
            num_relations=shape.num_relations,
            embedding_dim=self.embedding_dim,
            embedding_height=self.embedding_height,
            embedding_width=self.embedding_width,
            output_channels=self.output_channels,
        )


def generate(
    shape: GraphShape, model: ModelShape, output: Path, *, overwrite: bool, progress: Progress
) -> dict[str, Any]:
    """Write a graph's files and its checkpoint into the folder `output`, whole or not at all.

    Returns
    -------
    dict
        What graph.json states.

    Raises
    ------
    ConfigError
        If no such graph can be made, or the disk has no room for it.
    StoreError
        If `output` exists and is not to be overwritten.
    """
    config = model.config(shape)
    random = np.random.default_rng(shape.seed)
    relations = choose_relations(shape.num_relations, random)
    entities = make_entities(shape.num_entities, random)
    source = _make_source(shape, entities, relations, random)
    _check_disk(output, shape, entities, config)
    _check_replaceable(output)
    with new_directory(output, overwrite=overwrite) as folder:
        _write_dictionaries(folder, entities, relations, random)
        skew = _write_rows(folder, shape, source, relations, random=random, progress=progress)
        maps = IdMap(labels=entities.labels), IdMap.of(relations.labels)
        progress("writing the model", 0, 1)
        write_checkpoint(
            folder / "model.pt",
            config,
            learning_rate=model.learning_rate,
            id_maps_sha256=id_maps_sha256(*maps),
            seed=shape.seed,
        )
        progress("writing the model", 1, 1)
        statement = {
            **asdict(shape),
            "model": asdict(model),
            "test_relation": relations.labels[relations.test_relation],
            "measured": skew,
        }
        write_json_file(folder / STATEMENT, statement)
    return statement


def _make_source(shape: GraphShape, entities: Entities, relations: Relations, random: np.random.Generator) -> RowSource:
    choices = choices_by_type(entities, relations)
    return RowSource(
        entities=entities,
        choices=choices,
        degrees=draw_degrees(shape, entities, choices, random),
        popularity=Popularity.draw(entities, shape.skew.tail_exponent, random),
        skew=shape.skew,
    )


def _check_disk(output: Path, shape: GraphShape, entities: Entities, config: ConvEConfig) -> None:
    """Refuse what would not fit: the rows as text and in buckets, the dictionaries, the model."""
    label_bytes = pc.mean(pc.binary_length(entities.labels)).as_py()
    row_bytes = _ROW_BYTES + 2 * label_bytes + len("\tpredicate:10\t\n")
    model_bytes = 4 * config.embedding_dim * (config.num_entities + config.num_features)
    needed = int(shape.num_rows * row_bytes + len(entities) * (2 * label_bytes + _NAME_BYTES) + model_bytes)
    parent = next(folder for folder in output.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(parent).free
    if needed > free:
        raise ConfigError(
            f"the graph needs about {needed / 2**20:,.0f} MiB while it is made, {parent} has {free / 2**20:,.0f} MiB; "
            "give another output, or make room"
        )


def _check_replaceable(output: Path) -> None:
    """Refuse to replace a folder that holds something else; whether a graph may be replaced is asked later."""
    if output.exists() and not (output / STATEMENT).is_file() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(
            f"{output}: exists and is no graph that this command made: it has no {STATEMENT}; choose another output"
        )


def _write_dictionaries(folder: Path, entities: Entities, relations: Relations, random: np.random.Generator) -> None:
    write_numbered(folder / "node_dict.txt", entities.labels)
    write_numbered(folder / "node_name_dict.txt", make_names(len(entities), random))
    write_numbered(folder / "rel_dict.txt", pa.array(relations.labels))
    write_json_file(folder / "edge_map.json", relations.edge_map())


def _write_rows(
    folder: Path,
    shape: GraphShape,
    source: RowSource,
    relations: Relations,
    *,
    random: np.random.Generator,
    progress: Progress,
) -> dict[str, float]:
    """Draw all triples and write the three text files; give the training set's skew."""
    counter = SkewCounter(len(source.entities), len(relations), test_relation=relations.test_relation)
    held_out = HeldOut(shape.num_held_out)
    buckets = Buckets(folder / "buckets", shape.num_rows, bucket_rows=BUCKET_ROWS)
    drawn = 0
    for block in source.blocks(random):
        counter.add(block)
        # a group keeps its first row, so that every head of a test triple is trained with the relation
        eligible = (block.rows[:, 1] == relations.test_relation) & ~block.is_first
        left = held_out.offer(block.rows[eligible], random)
        buckets.add(np.concatenate([block.rows[~eligible], left]), random)
        drawn += len(block.rows)
        progress("drawing triples", drawn, shape.num_rows)
    counter.hold_out(held_out.rows())
    labels = Labels.of(source.entities.labels, relations.labels)
    _write_train(
        folder / "train.txt",
        buckets,
        labels,
        random,
        lambda done: progress("writing train.txt", done, shape.num_triples),
    )
    for name, rows in _split(held_out.rows(), shape.num_test):
        with (folder / name).open("wb") as file:
            write_triples(file, rows, labels)
    return counter.figures()


def _write_train(
    path: Path, buckets: Buckets, labels: Labels, random: np.random.Generator, on_rows: Callable[[int], None]
) -> None:
    written = 0
    with path.open("wb") as file:
        for rows in buckets.drain(random):
            write_triples(file, rows, labels)
            written += len(rows)
            on_rows(written)


def _split(rows: NDArray[np.int32], num_test: int) -> list[tuple[str, NDArray[np.int32]]]:
    return [("test.txt", rows[:num_test]), ("valid.txt", rows[num_test:])]
