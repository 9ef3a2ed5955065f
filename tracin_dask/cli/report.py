"""`tracin-dask report`: writes pages and tables of a result."""

from typing import Any, cast

import click

from tracin_dask.cli.options.numbers import WholeNumber
from tracin_dask.cli.options.sections import with_options
from tracin_dask.cli.options.talk import TALK_OPTIONS
from tracin_dask.cli.options.targets import TARGET
from tracin_dask.cli.options.truth import TRUTH_OPTIONS, TruthFlags
from tracin_dask.cli.options.values import ANY_PLACE, PlaceType
from tracin_dask.places.place import Place
from tracin_dask.report.exports.registry import EXPORTS

LONGEST_HOPS = 100
"""Beyond the diameter of any graph of knowledge, and what 8 bits hold."""


class ReportFlags(TruthFlags):
    """The values of the options that every export shares, by name; each export has a flag of its own besides."""

    output_dir: Place | None
    overwrite: bool
    raw_text: bool
    train_self_influence: bool
    train: Place | None
    most_hops: int | None
    saved_scores: Place | None


@click.command(no_args_is_help=True)
@click.argument("path", metavar="RUN", type=ANY_PLACE)
@with_options(*(click.option(f"--{name}", is_flag=True, help=export.help) for name, export in EXPORTS.items()))
@click.option(
    "--output-dir",
    "-o",
    type=TARGET,
    help="Folder for all files. [default: RUN/report; of a file why.json, why-report next to it]",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option(
    "--raw-text",
    is_flag=True,
    help="Write text as it is. Otherwise text in CSV and TSV that begins with = + - @, a tab or a carriage return gets "
    "an apostrophe in front, so that no spreadsheet executes it.",
)
@click.option(
    "--train-self-influence",
    is_flag=True,
    help="Add a column TrainSelfInfluence to the files of --csv; needs a run with --also-self-influence.",
)
@click.option(
    "--train",
    type=TARGET,
    metavar="STORE",
    help="Store of the training triples: adds hops_to_head and hops_to_tail to --tsv and --parquet, the distance of "
    "each training triple to the head and the tail of the test triple.",
)
@with_options(*TRUTH_OPTIONS, *TALK_OPTIONS)
@click.option(
    "--saved-scores",
    type=PlaceType(exists=True),
    metavar="PATH.zarr",
    help="What --save-scores of the same run wrote: adds a histogram of all influences to --html.",
)
@click.option(
    "--most-hops", type=WholeNumber(most=LONGEST_HOPS), help="Distances beyond this are left empty. [default: 3]"
)
def command(path: Place, **options: Any) -> None:  # noqa: ANN401 - `ReportFlags`, and a flag for each export
    """Write pages and tables of the result in RUN.

    RUN is a folder of --output-dir, or a .json or .parquet file of --output. Needs neither the model nor, but for
    --train, the training triples.

    \b
    Examples:
      tracin-dask report why/ --html --csv
      tracin-dask report why/ --html --edges drugmechdb_edges.jsonl --paths paths.csv
      tracin-dask report why/ --parquet --tsv --train graph.zarr
      tracin-dask report why.json --csv --output-dir tables/ --overwrite
    """
    from tracin_dask.cli.actions.report import write_report  # noqa: PLC0415 - the training graph needs zarr and scipy

    exports = [export for name, export in EXPORTS.items() if options.pop(name)]
    write_report(path, exports, cast("ReportFlags", options))
