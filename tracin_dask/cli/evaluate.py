"""`tracin-dask evaluate`: compares a result with known explanations."""

from typing import Unpack

import click

from tracin_dask.cli.options.numbers import WholeNumber
from tracin_dask.cli.options.sections import with_options
from tracin_dask.cli.options.talk import TALK_OPTIONS
from tracin_dask.cli.options.truth import TRUTH_OPTIONS, TruthFlags
from tracin_dask.cli.options.values import ANY_PLACE, PlaceType
from tracin_dask.places.place import Place

_STORE = PlaceType(exists=True)
MOST_HOPS, MOST_PERMUTATIONS = 10, 10**7


class EvaluateFlags(TruthFlags):
    """The values of all options, by name."""

    train: Place | None
    saved_scores: Place | None
    within_hops: int | None
    order: str | None
    strict: bool
    seed: int
    permutations: int
    output_dir: Place | None


@click.command(context_settings={"show_default": True}, no_args_is_help=True)
@click.argument("path", type=ANY_PLACE)
@with_options(*TRUTH_OPTIONS, *TALK_OPTIONS)
@click.option(
    "--train",
    type=_STORE,
    help="The store of the training triples (.zarr): counts the known triples in the whole training set.",
)
@click.option(
    "--saved-scores",
    type=_STORE,
    help="The array of --save-scores of the same run: exact ranks among all training triples. Needs --train.",
)
@click.option(
    "--within-hops",
    type=WholeNumber(1, MOST_HOPS),
    metavar="N",
    help="Also rank only the training triples within N hops of the head or the tail. Needs --train.",
)
@click.option(
    "--order",
    type=click.Choice(["absolute", "signed"]),
    help="Rank by |influence|, or by influence with the strongest proponents first. [default: the order of the run]",
)
@click.option("--strict", is_flag=True, help="Predicates must be equal, and steps of paths lead from drug to disease.")
@click.option("--seed", type=WholeNumber(0), default=0, help="Of permutations and of bootstrap intervals.")
@click.option(
    "--permutations", type=WholeNumber(0, MOST_PERMUTATIONS), default=10_000, help="Of each permutation test; 0: none."
)
@click.option(
    "--output-dir",
    "-o",
    type=PlaceType(),
    help="Folder for evaluation.json and the tables of all test triples. [default: PATH/evaluation, or "
    "NAME.evaluation next to a file]",
)
def command(path: Place, **options: Unpack[EvaluateFlags]) -> None:
    """Compare the result in PATH with known explanations: do known training triples rank first?

    PATH is a folder of --output-dir, or a .json or .parquet file of --output. Give at least one of --edges, --paths and
    --truth. Prints MRR, MAP, hits and tests with intervals, and writes all of it, per test triple too.

    \b
    Examples:
      tracin-dask evaluate why/ --edges drugmechdb_edges.jsonl --paths paths.csv
      tracin-dask evaluate why/ --paths paths.csv --train graph.zarr --saved-scores scores.zarr --within-hops 2
    """
    from tracin_dask.cli.actions.evaluate import evaluate_result  # noqa: PLC0415 - scipy is slow to import

    evaluate_result(path, options)
