"""`tracin-dask predict`: scores and ranks triples, or finds the best tails or heads."""

from typing import TYPE_CHECKING, Literal, Unpack

import click

from tracin_dask.cli.actions.apart import printed_apart
from tracin_dask.cli.options.data import DATA_OPTIONS, DataFlags
from tracin_dask.cli.options.model import FILE_OPTIONS
from tracin_dask.cli.options.numbers import WholeNumber
from tracin_dask.cli.options.sections import SectionedCommand, option_of, with_options
from tracin_dask.cli.options.targets import TABLE_FILE
from tracin_dask.cli.options.values import FILE, ModelFiles
from tracin_dask.places.place import Place
from tracin_dask.report.table_suffixes import TABLE_SUFFIXES

if TYPE_CHECKING:
    from tracin_dask.runs.options.computing import Device
    from tracin_dask.runs.options.saving import Ranks

model, question, output, where = map(option_of, ("Model", "Question", "Output", "Where"))


class PredictFlags(DataFlags):
    """The values of the options, by name."""

    model_path: tuple[list[Place], ...]
    model_description: Place | None
    trust_pickle: bool
    embedding_height: int | None
    embedding_width: int | None
    test_triple: tuple[tuple[str, str, str], ...]
    test: Place | None
    tails_of: tuple[tuple[str, str], ...]
    heads_of: tuple[tuple[str, str], ...]
    top: int
    candidates_type: tuple[str, ...]
    candidates: Place | None
    keep_known: bool
    ranks: "Ranks"
    output: Place | None
    rows: int
    device: "Device"
    precision: Literal["float32", "float64"]


@click.command(cls=SectionedCommand, no_args_is_help=True)
@model(
    "--model-path",
    type=ModelFiles(),
    many="file, e.g. --model-path model.pt",
    required=True,
    metavar="PATH...",
    help="Checkpoint of the trained model, as `run` takes it. Of several, or a folder of them, the last one predicts.",
)
@with_options(*FILE_OPTIONS, *DATA_OPTIONS)
@question(
    "--test-triple",
    nargs=3,
    multiple=True,
    metavar="H R T",
    help="A triple to score and rank, as ids or as labels. May be repeated.",
)
@question("--test", type=FILE, help="File of triples to score and rank, one per line; ids or labels, tabs or spaces.")
@question(
    "--tails-of",
    nargs=2,
    multiple=True,
    metavar="H R",
    help="Find the best tails of a head and a relation. May be repeated.",
)
@question(
    "--heads-of",
    nargs=2,
    multiple=True,
    metavar="R T",
    help="Find the best heads of a relation and a tail. May be repeated.",
)
@question("--top", type=WholeNumber(), default=10, show_default=True, help="Tails or heads that are listed.")
@question(
    "--candidates-type",
    multiple=True,
    metavar="PREFIX",
    help="List entities of this type only: the prefix of their labels, e.g. MONDO. May be repeated.",
)
@question("--candidates", type=FILE, help="File of entities, one label or id per line: list these only.")
@question(
    "--keep-known",
    is_flag=True,
    help="List also tails and heads that make a training triple, and mark them. [default: leave them out]",
)
@question(
    "--ranks",
    type=click.Choice(["auto", "all", "none"]),
    default="auto",
    show_default=True,
    help="Ranks of the given triples among all entities. auto: those that take no more than a minute of one CPU "
    "thread.",
)
@output("--output", "-o", type=TABLE_FILE, help=f"File of the table; its suffix chooses: {', '.join(TABLE_SUFFIXES)}.")
@output("--rows", type=WholeNumber(), default=20, show_default=True, help="Rows of each table on the screen.")
@where(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto takes a GPU if there is one.",
)
@where(
    "--precision",
    type=click.Choice(["float32", "float64"]),
    default="float32",
    show_default=True,
    help="Of weights, products and scores.",
)
def command(**options: Unpack[PredictFlags]) -> None:
    """Score and rank triples, or find the best tails or heads.

    Scores, probabilities and ranks are those that `run` states of its test triples. Ranks are among all entities; the
    filtered rank leaves out the ends of other training triples.

    \b
    Examples:
      tracin-dask predict --model-path model.pt --train graph.zarr \\
          --test test.txt --output scores.csv
      tracin-dask predict --model-path model.pt --train graph.zarr \\
          --tails-of aspirin treats --top 20 --candidates-type MONDO
    """
    from tracin_dask.cli.actions.predict import predict  # noqa: PLC0415 - torch is slow to import

    with printed_apart(options["output"]):
        predict(options)
