"""All triples of a graph in memory, as ids, in the order of their lines."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.triples.block import TripleBlock, concatenate
from tracin_dask.triples.discover import discover_id_maps, say_if_swapped
from tracin_dask.triples.idmap import IdMap, Kind, read_id_map
from tracin_dask.triples.ingest import IngestOptions, Meter
from tracin_dask.triples.integers import maps_of
from tracin_dask.triples.lines import InvalidLines
from tracin_dask.triples.names import read_edge_map, read_names
from tracin_dask.triples.shape import PLAIN, Shape
from tracin_dask.triples.store import SHARD_ROWS, Source, TripleStore
from tracin_dask.triples.suggestions import meant_in
from tracin_dask.triples.text import TripleText, open_triples
from tracin_dask.triples.write import StoreTexts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WholeGraph:
    """All triples of a graph, line by line, and what their ids are called."""

    triples: Int64[ndarray, "row 3"]
    train_index: Int64[ndarray, " row"]
    """The line of each, counted from 0."""
    texts: StoreTexts
    source: Source
    has_ids: bool = False
    """Whether the file has ids in place of labels."""
    has_maps: bool = False
    """Whether id maps were given, which may name entities that no triple has."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Lines that were left out, by what is wrong with them."""

    def __len__(self) -> int:
        """Count the lines."""
        return len(self.triples)

    @property
    def entities(self) -> IdMap:
        """The labels of the entities."""
        return self.texts.entities

    @property
    def relations(self) -> IdMap:
        """The labels of the relations."""
        return self.texts.relations


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReading:
    """How a further file of triples is read."""

    labels: bool = False
    ids: bool = False
    skip_invalid: bool = False
    shape: Shape = PLAIN


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FurtherTriples:
    """The triples of a further file with the ids of a graph; `block.train_index` counts its lines from 0."""

    text: TripleText
    block: TripleBlock
    invalid: InvalidLines
    """Lines that were left out."""


def whole_store(store: TripleStore, *, by_line: bool = True) -> WholeGraph:
    """Read a whole store; with `by_line`, in the order of the lines that its rows come from."""
    triples, lines = np.empty((len(store), 3), np.int64), np.empty(len(store), np.int64)
    for start in range(0, len(store), SHARD_ROWS):
        block = store.read(start, min(start + SHARD_ROWS, len(store)))
        triples[start : start + len(block)], lines[start : start + len(block)] = block.triples, block.train_index
    if by_line:
        order = np.argsort(lines, kind="stable")
        triples, lines = triples[order], lines[order]
    return WholeGraph(
        triples=triples,
        train_index=lines,
        texts=StoreTexts(
            entities=store.entities,
            relations=store.relations,
            entity_names=store.entity_names,
            relation_names=store.relation_names,
        ),
        source=store.info.source,
        has_maps=True,
        skipped=dict(store.info.skipped),
    )


def whole_text(
    train: Place, *, entity_to_id: AnyPath | None, relation_to_id: AnyPath | None, options: IngestOptions
) -> WholeGraph:
    """Read a whole text file; id maps that are not given are made from it. Nothing is written.

    Raises
    ------
    TriplesError
        If the text, an id map or a file of names cannot be used.
    """
    given = _map(entity_to_id, "entity", options), _map(relation_to_id, "relation", options)
    text = open_triples(train, maps_of(*given), labels=options.labels, ids=options.ids, shape=options.shape)
    texts = _texts(text, given, options)
    invalid, digest = InvalidLines(), hashlib.sha256()
    meter = Meter(options.progress, "reading triples", text.path.num_bytes())

    def on_bytes(data: bytes) -> None:
        digest.update(data)
        meter.add(len(data))

    block = concatenate(text.blocks(texts.entities, texts.relations, invalid=invalid, on_bytes=on_bytes))
    refuse_invalid(text, invalid, texts, skip_invalid=options.skip_invalid)
    if not len(block):
        raise TriplesError(f"{text.path}: no triples; expected lines of `head TAB relation TAB tail`")
    return WholeGraph(
        triples=block.triples,
        train_index=block.train_index,
        texts=texts,
        source=Source(
            name=text.path.name,
            size_bytes=text.path.num_bytes(),
            sha256=digest.hexdigest(),
            read_as=text.format.description,
        ),
        has_ids=text.has_ids,
        has_maps=None not in given,
        skipped=dict(invalid.counts),
    )


def further_triples(
    path: AnyPath, graph: WholeGraph, reading: FileReading, *, allowed: Callable[[str], bool] = lambda _: False
) -> FurtherTriples:
    """Read a further file of triples with the ids of a graph.

    Lines that cannot be used are left out and counted if their kind is `allowed`, or all are skipped.

    Raises
    ------
    TriplesError
        If another line cannot be used.
    """
    maps, invalid = maps_of(graph.entities, graph.relations), InvalidLines()
    text = open_triples(path, maps, labels=reading.labels, ids=reading.ids, shape=reading.shape, allow_spaces=True)
    block = concatenate(text.blocks(graph.entities, graph.relations, invalid=invalid))
    if not all(map(allowed, invalid.counts)):
        refuse_invalid(text, invalid, graph.texts, skip_invalid=reading.skip_invalid)
    if not len(block) and not invalid.counts:
        raise TriplesError(f"{text.path}: the file has no triples; expected lines of `head TAB relation TAB tail`")
    return FurtherTriples(text=text, block=block, invalid=invalid)


def _map(path: AnyPath | None, kind: Kind, options: IngestOptions) -> IdMap | None:
    return None if path is None else read_id_map(path, kind, columns=options.map_columns, say=options.say)


def _texts(text: TripleText, given: tuple[IdMap | None, IdMap | None], options: IngestOptions) -> StoreTexts:
    entities, relations = given
    if entities is None or relations is None:
        meter = Meter(options.progress, "reading labels", text.path.num_bytes())
        found_entities, found_relations = discover_id_maps(text, lambda data: meter.add(len(data)))
        if relations is None:
            say_if_swapped(text.path, found_entities, found_relations, options.say)
        entities, relations = entities or found_entities, relations or found_relations
    return StoreTexts(
        entities=entities,
        relations=relations,
        entity_names=None if options.entity_names is None else read_names(options.entity_names, entities),
        relation_names=None if options.edge_map is None else read_edge_map(options.edge_map, relations),
    )


def refuse_invalid(text: TripleText, invalid: InvalidLines, texts: StoreTexts, *, skip_invalid: bool) -> None:
    """Refuse lines that cannot be used, unless they are to be skipped; raises as `TripleText.refuse`."""
    if not skip_invalid:
        hint = ", or pass --skip-invalid to leave such lines out and have them counted"
        text.refuse(invalid, hint=hint, explain=partial(meant_in, texts))
