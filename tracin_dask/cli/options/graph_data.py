"""The argument and the options that name a graph that is read as a whole: its triples, id maps and form."""

from typing import TYPE_CHECKING

import click

from tracin_dask.cli.options.sections import option_of
from tracin_dask.cli.options.shape import ShapeFlags, shape_options
from tracin_dask.cli.options.values import FILE, PykeenDataset, TrainingTriples
from tracin_dask.places.place import Place

if TYPE_CHECKING:
    from tracin_dask.triples.idmap import MapColumns

option = option_of("Data")


class GraphDataFlags(ShapeFlags):
    """The values of these options, by name."""

    train: Place | PykeenDataset
    entity_to_id: Place | None
    relation_to_id: Place | None
    map_columns: "MapColumns | None"
    labels: bool
    ids: bool
    skip_invalid: bool


class NamedGraphFlags(GraphDataFlags):
    """The same with those of readable names."""

    entity_names: Place | None
    edge_map: Place | None


TRIPLES = click.argument("train", metavar="TRIPLES", type=TrainingTriples(exists=True))
"""The argument; actions call it as `run` calls its option."""
ID_OPTIONS = (
    option(
        "--map-columns",
        type=click.Choice(["label,id", "id,label"]),
        help="Order of the columns of both id maps, where either column could be the ids.",
    ),
    option("--labels", is_flag=True, help="Integers in triples are labels, not ids."),
    option("--ids", is_flag=True, help="Integers in triples are ids, even where labels are integers, too."),
)
"""How ids are read, wherever they stand."""
GRAPH_OPTIONS = (
    option("--entity-to-id", type=FILE, help="File with lines of `entity label TAB id`."),
    option("--relation-to-id", type=FILE, help="File with lines of `relation label TAB id`."),
    *ID_OPTIONS,
    *shape_options(option, "text files of triples"),
    option("--skip-invalid", is_flag=True, help="Skip and count lines that cannot be used."),
)
NAME_OPTIONS = (
    option("--entity-names", type=FILE, help="File with lines of `readable name TAB entity id`."),
    option("--edge-map", type=FILE, help="JSON of predicates and qualifiers to relation labels."),
)
