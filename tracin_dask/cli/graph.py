"""`tracin-dask graph`: shows what is in a graph."""

from typing import Unpack

import click

from tracin_dask.cli.actions.apart import printed_apart
from tracin_dask.cli.options.graph_data import GRAPH_OPTIONS, NAME_OPTIONS, TRIPLES, NamedGraphFlags
from tracin_dask.cli.options.numbers import WholeNumber
from tracin_dask.cli.options.sections import with_options
from tracin_dask.cli.options.targets import TARGET
from tracin_dask.cli.options.values import FILE
from tracin_dask.places.place import Place


class GraphFlags(NamedGraphFlags):
    """The argument and options of the command, by name."""

    test: Place | None
    top: int
    json: Place | None


@click.command(no_args_is_help=True)
@TRIPLES
@click.option("--test", type=FILE, help="File of test triples: say which of them the graph cannot test, and why.")
@click.option("--top", type=WholeNumber(), default=10, show_default=True, help="Rows of each table on the screen.")
@click.option("--json", type=TARGET, metavar="FILE", help="Write everything that was found as JSON.")
@with_options(*GRAPH_OPTIONS, *NAME_OPTIONS)
def command(**options: Unpack[GraphFlags]) -> None:
    """Show what is in the graph TRIPLES, what will hurt, and what to do about it.

    TRIPLES is what `ingest` and `run` take: a text file of triples, a store, or triples of PyKEEN. Nothing is changed.
    Degrees, relations and types count distinct triples.

    \b
    Examples:
      tracin-dask graph train.txt --test test.txt
      tracin-dask graph graph.zarr --json graph.json
    """
    from tracin_dask.cli.actions.graph import show_graph  # noqa: PLC0415 - pyarrow is slow to import

    with printed_apart(options["json"]):
        show_graph(options)
