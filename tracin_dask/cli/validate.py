"""`tracin-dask validate`: measures what influence methods are worth."""

from typing import Unpack

import click

from tracin_dask.cli.options.numbers import RealNumber
from tracin_dask.cli.options.sections import with_options
from tracin_dask.cli.options.validation import STUDY_OPTIONS, StudyFlags, count_option

SHOWN = {"show_default": True}
SUBSET_OPTIONS = (
    count_option("--num-subsets", 64, "Random subsets, each trained on once.", least=3),
    click.option(
        "--fraction", type=RealNumber(above=0.0, below=1.0), default=0.5, help="Of the training triples in a subset."
    ),
    count_option("--num-tests", 100, "Test triples, drawn at random."),
    count_option("--num-repeated", 16, "Subsets that are trained on again, for the noise ceiling."),
    count_option("--repeats", 2, "Trainings of each of these, with different seeds; 1 leaves the ceiling out."),
)


class SubsetFlags(StudyFlags):
    """The values of the options of studies on random subsets, by name."""

    num_subsets: int
    fraction: float
    num_tests: int
    num_repeated: int
    repeats: int


@click.group()
def command() -> None:
    """Measure what influence methods are worth, by training again.

    Each study trains many models of a graph and writes table.parquet, plot.html and summary.json into its folder. Give
    the same command again to continue: finished trainings are not repeated.
    """


@command.command(context_settings=SHOWN, no_args_is_help=True)
@with_options(*STUDY_OPTIONS, *SUBSET_OPTIONS)
def lds(**options: Unpack[SubsetFlags]) -> None:
    """Do summed influences tell how models of random subsets differ?

    Trains on random parts of the training triples, and correlates (Spearman) the summed influences of a part with what
    its model says of each test triple: margin, loss and score.

    \b
    Example:
      tracin-dask validate lds --train train.txt --test test.txt -o lds/ --num-epochs 30 \\
          --embedding-dim 32 --embedding-height 8 --embedding-width 4
    """
    from tracin_dask.cli.actions.validate import run_lds  # noqa: PLC0415 - torch is slow to import

    run_lds(options)
