"""`tracin-dask split`: splits a graph into training, validation and test triples."""

from typing import TYPE_CHECKING, Unpack

import click

from tracin_dask.cli.options.graph_data import GRAPH_OPTIONS, TRIPLES, GraphDataFlags
from tracin_dask.cli.options.numbers import WholeNumber
from tracin_dask.cli.options.sections import HELD_OUT, SectionedCommand, option_of, with_options
from tracin_dask.cli.options.shares import Share
from tracin_dask.cli.options.talk import TALK_OPTIONS
from tracin_dask.cli.options.targets import TARGET
from tracin_dask.cli.options.values import FILE
from tracin_dask.places.place import Place
from tracin_dask.seed import MOST_SEED

if TYPE_CHECKING:
    from tracin_dask.triples.preparing.draw import By
    from tracin_dask.triples.preparing.leaks import RemovedPairs

held_out, output = option_of(HELD_OUT), option_of("Output")


class SplitFlags(GraphDataFlags):
    """The argument and options of the command, by name."""

    output: Place
    seed: int
    valid: int | float
    test: int | float
    of_relation: tuple[str, ...]
    by: "By"
    keep_test: Place | None
    remove_pairs: "RemovedPairs"
    overwrite: bool


@click.command(cls=SectionedCommand, no_args_is_help=True)
@TRIPLES
@output("-o", "--output", type=TARGET, required=True, help="The folder to write.")
@held_out("--seed", type=WholeNumber(0, MOST_SEED), default=0, show_default=True, help="Another seed, another split.")
@held_out(
    "--valid",
    type=Share(),
    default=0.1,
    show_default=True,
    help="Validation triples: a fraction of the triples that may be held out, or a number.",
)
@held_out("--test", type=Share(), default=0.1, show_default=True, help="Test triples, likewise.")
@held_out(
    "--of-relation",
    many="relation, e.g. --of-relation treats",
    metavar="R...",
    help="Hold out triples of these relations only. [default: of all]",
)
@held_out(
    "--by",
    type=click.Choice(["triple", "head", "tail", "pair"]),
    default="triple",
    show_default=True,
    help="head, tail: all triples of a head, or of a tail, that may be held out go to one part. pair: all of two "
    "entities, in any direction.",
)
@held_out(
    "--keep-test",
    type=FILE,
    help="File of triples of the graph that are test triples in any case; they count for --test.",
)
@held_out(
    "--remove-pairs",
    type=click.Choice(["any", "same", "inverse", "none"]),
    default="any",
    show_default=True,
    help="Take training triples out that link the two entities of a held-out triple, under any relation: in any "
    "direction, the same or the inverse one.",
)
@with_options(*GRAPH_OPTIONS, *TALK_OPTIONS)
@output("--overwrite", is_flag=True, help="Replace an earlier split.")
def command(**options: Unpack[SplitFlags]) -> None:
    """Split TRIPLES into train.txt, valid.txt and test.txt, without leaks.

    TRIPLES is what `ingest` and `run` take: a text file of triples, a store, or triples of PyKEEN. Lines that repeat
    an earlier one are left out. Every entity and relation of a held-out triple has a training triple. Training triples
    that were taken out stand in removed.txt, and all counts in split.json.

    The same triples, options and seed give the same parts, whatever the order of the lines.

    \b
    Examples:
      tracin-dask split kg.txt -o split/
      tracin-dask split kg.txt -o split/ --of-relation treats --valid 250 --test 750
      tracin-dask split kg.txt -o split/ --of-relation treats --by tail      # new diseases
    """
    from tracin_dask.cli.actions.split import write_parts  # noqa: PLC0415 - pyarrow is slow to import

    write_parts(options)
