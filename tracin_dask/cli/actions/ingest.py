"""Carries out `tracin-dask ingest`: ingests, and sums up what was found."""

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from dask.utils import format_bytes

from tracin_dask.cli.actions.findings import findings
from tracin_dask.cli.actions.next_command import map_words
from tracin_dask.cli.actions.stage_progress import byte_progress
from tracin_dask.cli.actions.training_sources import (
    INTEGERS,
    MAPS,
    PYKEENS_ORDER,
    SHAPE,
    is_given,
    kind_of,
    refuse_options_of_text,
    training_text,
)
from tracin_dask.cli.ingest import IngestArguments
from tracin_dask.cli.say import is_quiet, say, say_written
from tracin_dask.cli.stopping import keeping
from tracin_dask.errors import ConfigError
from tracin_dask.places.place import Place
from tracin_dask.places.registry import place_of
from tracin_dask.places.stream import Stream
from tracin_dask.resources import WorkerOptions
from tracin_dask.triples.idmap import Kind, bare_integers
from tracin_dask.triples.ingest import StageProgress, id_map_path, ingest
from tracin_dask.triples.store import TripleStore

_OF_WORKERS = ("workers", "memory_per_worker", "scratch")
"""Options that only an ingest on workers has."""


def write_store(options: IngestArguments) -> None:
    """Ingest, and say what came of it and what to do next.

    Raises
    ------
    TracInDaskError
        If a file cannot be read as such, or the store cannot be written.
    """
    start = time.perf_counter()
    with keeping(lambda: f"{options['output']} is as it was before"), byte_progress() as progress:
        store = _ingest(options, progress)
    if is_quiet():
        for path in _written(options):
            say_written(path)
        return
    say(_summary(store, options, time.perf_counter() - start))
    say(f"\nNext: {_next_command(store, options)}")


def _written(options: IngestArguments) -> list[Place]:
    """Name the store, and the id maps that were made."""
    given: dict[Kind, Place | None] = {"entity": options["entity_to_id"], "relation": options["relation_to_id"]}
    are_made = kind_of(options["train"]) == "text"
    made = [id_map_path(options["output"], kind) for kind, path in given.items() if path is None and are_made]
    return [options["output"], *made]


def _ingest(options: IngestArguments, progress: StageProgress) -> TripleStore:
    refuse_options_of_text(options, options["train"], (*MAPS, *INTEGERS, "skip_invalid", *SHAPE, "cluster"))
    if options["cluster"] is None:
        _refuse_options_of_workers(options)
    with training_text(options, progress) as text:
        read = replace(text.options, overwrite=options["overwrite"], memory_bytes=options["memory"])
        carry_out = ingest if options["cluster"] is None else _on(options["cluster"], options)
        return carry_out(
            text.train,
            options["output"],
            entity_to_id=text.entity_to_id,
            relation_to_id=text.relation_to_id,
            options=read,
        )


def _refuse_options_of_workers(options: Mapping[str, Any]) -> None:
    given = [f"--{name.replace('_', '-')}" for name in _OF_WORKERS if is_given(name, options[name])]
    if given:
        raise ConfigError(f"{', '.join(given)}: only with --cluster, which says where the workers are")


def _on(cluster: str, options: IngestArguments) -> Callable[..., TripleStore]:
    """Give the ingest on workers."""
    from tracin_dask.clusters.parse import parse_cluster  # noqa: PLC0415 - Dask is slow to import
    from tracin_dask.launch.ingest import IngestPlace, ingest_on  # noqa: PLC0415 - Dask is slow to import

    asked = WorkerOptions(workers=options["workers"], memory_per_worker=options["memory_per_worker"])
    return partial(ingest_on, IngestPlace(cluster=parse_cluster(cluster), workers=asked, scratch=options["scratch"]))


def _next_command(store: TripleStore, options: IngestArguments) -> str:
    output = options["output"]
    words = ["tracin-dask", "run", "--model-path", "MODEL.pt", "--train", str(output)]
    if kind_of(options["train"]) == "text":
        maps: dict[Kind, Place | None] = {"entity": options["entity_to_id"], "relation": options["relation_to_id"]}
        for kind, given in maps.items():
            path = f"{kind}_to_id.tsv" if isinstance(given, Stream) else str(given or id_map_path(output, kind))
            words += [f"--{kind}-to-id", path]
        words += map_words(options, (store.entities, store.relations))
    return shlex.join([*words, "--test-triple", "HEAD", "RELATION", "TAIL", "--output", "influence.json"])


def _summary(store: TripleStore, options: IngestArguments, seconds: float) -> str:
    info = store.info
    rows = {
        "training triples": f"{info.num_triples:,}",
        "read as": (info.source.read_as or "head, relation, tail, separated by tabs") + _integers(store, options),
        "entities": f"{info.num_entities:,}{_named(store.entity_names)}",
        "relations": f"{info.num_relations:,}{_named(store.relation_names)}",
        "distinct heads": f"{info.num_distinct_heads:,}",
        **findings(store),
        "skipped lines": ", ".join(f"{number:,} × {kind}" for kind, number in sorted(info.skipped.items())) or "none",
        "entity ids": _origin("entity", options, options["entity_to_id"]),
        "relation ids": _origin("relation", options, options["relation_to_id"]),
        **({"order": PYKEENS_ORDER} if kind_of(options["train"]) == "pykeen" else {}),
        "size on disk": format_bytes(place_of(store.path).num_bytes()),
        "seconds": f"{seconds:.1f}",
    }
    return "\n".join([store.path, *(f"  {name:<17} {value}" for name, value in rows.items())])


def _integers(store: TripleStore, options: IngestArguments) -> str:
    """Say that integers were taken for ids, where nothing but the text itself says so."""
    is_stated = options["ids"] or options["labels"] or options["entity_to_id"] or kind_of(options["train"]) != "text"
    if is_stated or (bare_integers(store.entities.labels) != np.arange(len(store.entities))).any():
        return ""
    return "; all are integers, taken for ids (--labels: they are labels)"


def _named(names: pa.StringArray | None) -> str:
    return "" if names is None else f", {sum(name != '' for name in names.to_pylist()):,} of them with a readable name"


def _origin(kind: Kind, options: IngestArguments, given: Place | None) -> str:
    if kind_of(options["train"]) == "pykeen":
        return "those of PyKEEN"
    return f"as in {given}" if given else f"made from the data, written to {id_map_path(options['output'], kind)}"
