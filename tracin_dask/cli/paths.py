"""`tracin-dask paths`: finds paths from head to tail through the training triples of a result."""

from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from tracin_dask.cli.options.numbers import WholeNumber
from tracin_dask.cli.options.sections import with_options
from tracin_dask.cli.options.talk import TALK_OPTIONS
from tracin_dask.cli.options.targets import TABLE_FILE
from tracin_dask.cli.options.values import ANY_PLACE, FILE
from tracin_dask.places.place import Place

if TYPE_CHECKING:
    from tracin_dask.report.paths.options import Measure

MOST_PATHS = 10_000


class PathFlags(TypedDict):
    """The values of the options of `paths`, by name."""

    path: Place
    test_triple: tuple[tuple[str, str, str], ...]
    test_index: tuple[int, ...]
    fewest_hops: int
    most_hops: int
    directed: bool
    proponents_only: bool
    measure: "Measure"
    most_paths: int
    types: Place | None
    top: int
    output: Place | None
    metapaths: Place | None


@click.command(no_args_is_help=True)
@click.argument("path", type=ANY_PLACE)
@click.option(
    "--test-triple",
    nargs=3,
    multiple=True,
    metavar="H R T",
    help="Paths of the answer about this test triple, given by ids, labels or names. Repeatable; else of all answers.",
)
@click.option("--test-index", type=WholeNumber(0), multiple=True, help="Of the answer with this index. Repeatable.")
@click.option("--fewest-hops", type=WholeNumber(1, 4), default=2, show_default=True, help="Hops of the shortest paths.")
@click.option("--most-hops", type=WholeNumber(1, 4), default=3, show_default=True, help="Hops of the longest paths.")
@click.option(
    "--directed", is_flag=True, help="Walk a training triple from head to tail only; else in both directions."
)
@click.option("--proponents-only", is_flag=True, help="Leave opponents out.")
@click.option(
    "--measure",
    type=click.Choice(["mean", "sum", "min", "geometric", "harmonic"]),
    default="mean",
    show_default=True,
    help="Score of a path, from the influences of its triples. The geometric and the harmonic mean are those of paths "
    "without opponents; other paths get no score.",
)
@click.option(
    "--most-paths",
    type=WholeNumber(),
    default=MOST_PATHS,
    show_default=True,
    help="Keep this many paths of each answer, the best.",
)
@click.option(
    "--types",
    type=FILE,
    help="Types of entities for metapaths: lines of `label TAB type`. Else the prefix of a label is its type: CHEBI of "
    "CHEBI:34911, Compound of Compound::DB01586.",
)
@click.option("--top", type=WholeNumber(), default=10, show_default=True, help="Rows of each table on the terminal.")
@click.option("--output", "-o", type=TABLE_FILE, help="Write all paths to this .csv, .tsv, .parquet or .json file.")
@click.option("--metapaths", type=TABLE_FILE, help="Write the counts of all metapaths to such a file.")
@with_options(*TALK_OPTIONS)
def command(**flags: Unpack[PathFlags]) -> None:
    """Find the paths from head to tail through the training triples that the result in PATH lists.

    PATH is a folder of --output-dir, or a .json or .parquet file of --output. A path leads from the head of a test
    triple to its tail, and visits no entity twice. Paths are counted by metapath, too: by the types of their entities
    and by their relations. Needs neither the model nor the training triples.

    \b
    Examples:
      tracin-dask paths why.json
      tracin-dask paths why/ --test-triple aspirin treats headache --most-hops 4
      tracin-dask paths why/ --output paths.csv --metapaths metapaths.csv
    """
    from tracin_dask.cli.actions.paths import find_paths_in  # noqa: PLC0415 - pyarrow is slow to import

    find_paths_in(flags)
