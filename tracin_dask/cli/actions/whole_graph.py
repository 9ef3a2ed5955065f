"""From options to a graph that is read as a whole: a store, a text file, or triples of PyKEEN."""

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from tracin_dask.cli.actions.stage_progress import byte_progress
from tracin_dask.cli.actions.training_sources import (
    INTEGERS,
    MAPS,
    SHAPE,
    is_given,
    kind_of,
    refuse_options_of_text,
    training_text,
)
from tracin_dask.cli.options.graph_data import GraphDataFlags, NamedGraphFlags
from tracin_dask.cli.options.shape import shape_of
from tracin_dask.errors import ConfigError
from tracin_dask.triples.integers import refuse_both
from tracin_dask.triples.preparing.whole_graph import FileReading, WholeGraph, whole_store, whole_text
from tracin_dask.triples.store import open_store

if TYPE_CHECKING:
    from tracin_dask.cli.ingest import IngestArguments

_OF_TEXT = (*MAPS, "entity_names", "edge_map")


def graph_of(
    given: GraphDataFlags, *, further_file: bool, further_words: bool = False, by_line: bool = True
) -> WholeGraph:
    """Read the graph; options about text files, or about integers, may be for a further file, or for other options.

    The rows of a store are put into the order of its lines unless `by_line` is not set.

    Raises
    ------
    TracInDaskError
        If options do not go together, or a file cannot be used.
    """
    options = cast("NamedGraphFlags", {"entity_names": None, "edge_map": None, **given})
    refuse_both(labels=options["labels"], ids=options["ids"])
    kind = kind_of(options["train"])
    about_text: tuple[str, ...] = _OF_TEXT if further_file else (*_OF_TEXT, "skip_invalid", *SHAPE)
    about_text += () if further_file or further_words else INTEGERS
    if kind == "store":
        named = [f"--{name.replace('_', '-')}" for name in about_text if is_given(name, options[name])]  # type: ignore[literal-required] # names of its own keys
        if named:
            raise ConfigError(
                f"{', '.join(named)}: only for a text file, but {options['train']} is a store already; give such "
                "options to `tracin-dask ingest`"
            )
        return whole_store(open_store(str(options["train"])), by_line=by_line)
    refuse_options_of_text(options, options["train"], about_text)
    with byte_progress() as progress, training_text(cast("IngestArguments", options), progress) as text:
        graph = whole_text(
            text.train,
            entity_to_id=text.entity_to_id,
            relation_to_id=text.relation_to_id,
            options=text.options,
        )
    return graph if kind == "text" else replace(graph, has_ids=False)  # triples of PyKEEN are known by their labels


def reading_of(options: GraphDataFlags) -> FileReading:
    """Say how a further file of triples is read."""
    return FileReading(
        labels=options["labels"],
        ids=options["ids"],
        skip_invalid=options["skip_invalid"],
        shape=shape_of(options),
    )


def describes_text(graph: WholeGraph) -> str:
    """Say how the file was read."""
    return graph.source.read_as or "head, relation, tail, separated by tabs"
