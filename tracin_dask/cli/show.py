"""`tracin-dask show`: prints a result again."""

import click

from tracin_dask.cli.options.numbers import WholeNumber
from tracin_dask.cli.options.values import ANY_PLACE
from tracin_dask.places.place import Place


@click.command(no_args_is_help=True)
@click.argument("path", type=ANY_PLACE)
@click.option(
    "--test-triple",
    nargs=3,
    multiple=True,
    metavar="H R T",
    help="Show the answer about this test triple, given by ids, labels or names. Repeatable.",
)
@click.option(
    "--test-index", type=WholeNumber(0), multiple=True, help="Show the answer with this index, from 0. Repeatable."
)
@click.option("--top", type=WholeNumber(), default=10, show_default=True, help="Rows of each table.")
def command(path: Place, test_triple: tuple[tuple[str, str, str], ...], test_index: tuple[int, ...], top: int) -> None:
    """Print the result in PATH again: tables of proponents, opponents and groups.

    PATH is a folder of --output-dir, or a .json or .parquet file of --output. Of a result with many test triples, the
    list of these is printed unless some are chosen. Needs neither the model nor the training triples.

    \b
    Examples:
      tracin-dask show why.json
      tracin-dask show why/ --test-triple aspirin treats headache --top 20
    """
    from tracin_dask.cli.actions.show import show_result  # noqa: PLC0415 - pyarrow is slow to import

    show_result(path, test_triple, test_index, rows=top)
