"""The options that say what is written, and where."""

from typing import TYPE_CHECKING, TypedDict

import click

from tracin_dask.cli.options.sections import option_of
from tracin_dask.cli.options.targets import RESULT_FILE, TARGET
from tracin_dask.places.place import Place
from tracin_dask.report.formats import suffixes

if TYPE_CHECKING:
    from tracin_dask.runs.options.saving import Ranks

option = option_of("Output")


class SavedFlags(TypedDict):
    """The values of the output options that `run` and `plan` share, by name."""

    save_scores: Place | None
    ranks: "Ranks"
    checkpoint_contributions: bool
    also_self_influence: bool


class OutputFlags(TypedDict):
    """The values of the output options that only `run` has, by name."""

    output: tuple[Place, ...]
    output_dir: Place | None
    overwrite: bool
    save_groups: Place | None
    restart: bool


OUTPUT_OPTIONS = (
    option(
        "--output",
        "-o",
        type=RESULT_FILE,
        multiple=True,
        help=f"File of the result; its suffix chooses the format: {', '.join(suffixes())}. A .json file takes one test "
        "triple, or --mode self. A pipe or /dev/stdout is written to; without a suffix, it gets JSON. Repeatable.",
    ),
    option("--output-dir", type=TARGET, help="Folder for one JSON file per test triple and summary.json."),
    option("--overwrite", is_flag=True, help="Remove the files of an earlier result from --output-dir."),
    option(
        "--save-groups",
        type=TARGET,
        metavar="PATH.parquet",
        help="Write the totals of all groups of --group-by as a table; the JSON lists the largest.",
    ),
    option(
        "--restart",
        is_flag=True,
        help="Discard what an interrupted run recorded, and its part of --save-scores, instead of continuing it; and "
        "compute a finished result anew.",
    ),
)
SAVED_OPTIONS = (
    option(
        "--save-scores",
        type=TARGET,
        metavar="PATH.zarr",
        help="Write all influences, not only the largest, as a Zarr array [test, train] in the order of the rows of "
        "the store. Workers write it: all of them must see the path.",
    ),
    option(
        "--ranks",
        type=click.Choice(["auto", "all", "none"]),
        default="auto",
        show_default=True,
        help="State the ranks of the tail and the head of each test triple among all entities. auto: those that take "
        "no more than a minute of one CPU thread.",
    ),
    option(
        "--checkpoint-contributions",
        is_flag=True,
        help="State what each checkpoint adds to every reported influence.",
    ),
    option(
        "--also-self-influence",
        is_flag=True,
        help="State the self-influence of each test triple and of every reported training triple, as --mode self does.",
    ),
)
