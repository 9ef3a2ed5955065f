"""`tracin-dask validate`: measures what influence methods are worth."""

from typing import TYPE_CHECKING, Unpack

import click

from tracin_dask.cli.options.numbers import RealNumber
from tracin_dask.cli.options.sections import with_options
from tracin_dask.cli.options.validation import STUDY_OPTIONS, Counts, StudyFlags, count_option
from tracin_dask.cli.options.values import FILE
from tracin_dask.places.place import Place

if TYPE_CHECKING:
    from tracin_dask.influence.masks.touching import Touching

SHOWN = {"show_default": True}
SUBSET_OPTIONS = (
    count_option("--num-subsets", 64, "Random subsets of the training triples.", least=3),
    count_option(
        "--models-per-subset", 1, "Trainings on each, with different seeds; what their models say is averaged."
    ),
    click.option(
        "--fraction", type=RealNumber(above=0.0, below=1.0), default=0.5, help="Of the training triples in a subset."
    ),
    count_option("--num-tests", 100, "Test triples, drawn at random."),
    count_option("--num-repeated", 16, "Subsets that are trained on --repeats times, for the noise ceiling."),
    count_option("--repeats", 2, "Trainings on each of these, where that is more than --models-per-subset."),
)
DELETION_OPTIONS = (
    count_option("--num-tests", 100, "Test triples, drawn among those that the model ranks first."),
    click.option(
        "--top-k",
        type=Counts(),
        default="1,3",
        help="Proponents of each test triple that are deleted (or, for sufficient explanations, added elsewhere).",
    ),
    count_option("--num-seeds", 5, "Trainings with other seeds for each deletion."),
    click.option("--singly", is_flag=True, help="Delete the proponents of each test triple alone; many trainings."),
    click.option(
        "--touching",
        type=click.Choice(["head", "tail", "either", "both"]),
        help="Only training triples with the head of the test triple may be deleted; or with its tail, either, both.",
    ),
    click.option(
        "--facts",
        type=FILE,
        multiple=True,
        help="Explanations made elsewhere, compared on their predictions: lines of a prediction and a training triple, "
        "six labels between tabs. May be repeated.",
    ),
    click.option(
        "--sufficient",
        is_flag=True,
        help="Add the proponents of the head to other entities instead, and see whether they get the prediction.",
    ),
    count_option("--num-entities", 10, "With --sufficient: entities for each test triple."),
)
MISLABEL_OPTIONS = (
    click.option(
        "--fraction",
        type=RealNumber(above=0.0, below=1.0),
        default=0.1,
        help="Of the training triples with a wrong tail.",
    ),
    count_option("--num-graphs", 3, "Copies of the graph, each with wrong tails of its own."),
    click.option("--top-k", type=Counts(), default="100", help="Tell the share of wrong triples among so many."),
)
STABILITY_OPTIONS = (
    count_option("--num-tests", 100, "Test triples, drawn at random."),
    count_option("--num-seeds", 3, "Trainings whose lists are compared.", least=2),
    count_option("--top-k", 10, "Entries of each list."),
)
QUANTITY_OPTION = click.option(
    "--quantity", type=click.Choice(["margin", "loss", "score"]), default="margin", help="What the replay follows."
)


class SubsetFlags(StudyFlags):
    """The values of the options of studies on random subsets, by name."""

    num_subsets: int
    models_per_subset: int
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


class DeletionFlags(StudyFlags):
    """The values of the options of `deletion`, by name."""

    num_tests: int
    top_k: tuple[int, ...]
    num_seeds: int
    singly: bool
    touching: "Touching | None"
    facts: tuple[Place, ...]
    sufficient: bool
    num_entities: int


@command.command(context_settings=SHOWN, no_args_is_help=True)
@with_options(*STUDY_OPTIONS, *DELETION_OPTIONS)
def deletion(**options: Unpack[DeletionFlags]) -> None:
    """Do predictions fall without their strongest proponents?

    Takes test triples that the model ranks first, deletes the strongest proponents of all of them together, trains
    again with several seeds, and compares MRR, Hits@1 and margin of these test triples.

    \b
    Example:
      tracin-dask validate deletion --train train.txt --test test.txt -o deletion/ \\
          --num-epochs 30 --embedding-dim 32 --embedding-height 8 --embedding-width 4
    """
    from tracin_dask.cli.actions.validate_deletion import run_deletion  # noqa: PLC0415 - torch is slow to import

    run_deletion(options)


class MislabelFlags(StudyFlags):
    """The values of the options of `mislabel`, by name."""

    fraction: float
    num_graphs: int
    top_k: tuple[int, ...]


@command.command(context_settings=SHOWN, no_args_is_help=True)
@with_options(*STUDY_OPTIONS, *MISLABEL_OPTIONS)
def mislabel(**options: Unpack[MislabelFlags]) -> None:
    """Does self-influence find training triples with wrong tails?

    Replaces the tails of some training triples, trains, ranks all training triples by self-influence, and tells the
    area under the ROC curve (0.5: by chance) and the precision among the largest.

    \b
    Example:
      tracin-dask validate mislabel --train train.txt --test test.txt -o mislabel/ \\
          --num-epochs 30 --embedding-dim 32 --embedding-height 8 --embedding-width 4
    """
    from tracin_dask.cli.actions.validate_others import run_mislabel  # noqa: PLC0415 - torch is slow to import

    run_mislabel(options)


class StabilityFlags(StudyFlags):
    """The values of the options of `stability`, by name."""

    num_tests: int
    num_seeds: int
    top_k: int


@command.command(context_settings=SHOWN, no_args_is_help=True)
@with_options(*STUDY_OPTIONS, *STABILITY_OPTIONS)
def stability(**options: Unpack[StabilityFlags]) -> None:
    """Do other seeds and other checkpoints give the same strongest training triples?

    Trains several models of the whole graph, and tells which share of the top lists two of them have in common.

    \b
    Example:
      tracin-dask validate stability --train train.txt --test test.txt -o stability/ \\
          --num-epochs 30 --embedding-dim 32 --embedding-height 8 --embedding-width 4
    """
    from tracin_dask.cli.actions.validate_others import run_stability  # noqa: PLC0415 - torch is slow to import

    run_stability(options)


class ReplayFlags(SubsetFlags):
    """The values of the options of `replay`, by name."""

    quantity: str


@command.command(context_settings=SHOWN, no_args_is_help=True)
@with_options(*STUDY_OPTIONS, *SUBSET_OPTIONS, QUANTITY_OPTION)
def replay(**options: Unpack[ReplayFlags]) -> None:
    """How well could a method that sees every step of the training do?

    Records a training on all triples, splits what every step changed of a test triple exactly among the training
    triples, and scores that as `lds` scores methods. For small graphs.

    \b
    Example:
      tracin-dask validate replay --train train.txt --test test.txt -o replay/ \\
          --num-epochs 30 --embedding-dim 32 --embedding-height 8 --embedding-width 4
    """
    from tracin_dask.cli.actions.validate_others import run_replay  # noqa: PLC0415 - torch is slow to import

    run_replay(options)
