"""`tracin-dask convert`: converts ConvE checkpoints between dialects, one file or a folder."""

from pathlib import Path
from typing import TypedDict, Unpack

import click

from tracin_dask.cli.options.numbers import WholeNumber
from tracin_dask.cli.options.sections import with_options
from tracin_dask.cli.options.talk import TALK_OPTIONS
from tracin_dask.cli.options.targets import TARGET
from tracin_dask.cli.options.values import FILE, LOCAL_FOLDER, LocalPath
from tracin_dask.places.place import Place

_FOLDER = LocalPath(exists=True, file_okay=False, path_type=Path)


class ConvertFlags(TypedDict):
    """The options of the command, by name."""

    input: Place | None
    output: Place | None
    input_dir: Path | None
    output_dir: Path | None
    pattern: str
    to: str
    verify: bool
    embedding_height: int | None
    embedding_width: int | None
    overwrite: bool


@click.command(context_settings={"show_default": True}, no_args_is_help=True)
@click.option("--input", type=FILE, help="The checkpoint to convert.")
@click.option("--output", "-o", type=TARGET, help="The file to write.")
@click.option("--input-dir", type=_FOLDER, help="Instead of --input: a folder of checkpoints, with its subfolders.")
@click.option(
    "--output-dir", type=LOCAL_FOLDER, help="Folder for the converted files of --input-dir, with the same names."
)
@click.option("--pattern", default="*.pt", metavar="GLOB", help="Files of --input-dir to convert.")
@click.option(
    "--to",
    type=click.Choice(["train_pytorch", "pykeen", "dettmers", "dettmers_unbiased", "kelpie"]),
    required=True,
    help="The dialect to write.",
)
@click.option(
    "--verify",
    is_flag=True,
    help="Compare the scores of both models for random triples, and print the largest difference.",
)
@click.option(
    "--embedding-height", type=WholeNumber(), help="Image rows of the input, if the file does not state them."
)
@click.option(
    "--embedding-width", type=WholeNumber(), help="Image columns of the input, if the file does not state them."
)
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@with_options(*TALK_OPTIONS)
def command(**options: Unpack[ConvertFlags]) -> None:
    """Convert ConvE checkpoints between the dialects of train_pytorch and PyKEEN without changing a score.

    The two dialects stack the images of head and relation along different axes: train_pytorch side by side, PyKEEN one
    above the other. Renaming tensors is therefore not enough. The conversion transposes the images, the kernels and the
    feature maps: an embedding of HEIGHT×WIDTH becomes one of WIDTH×HEIGHT. Numbers change places, not values. Ids do
    not change, so the id maps stay valid.

    Sizes, learning rate, epoch, metrics and the hash of the id maps are kept. The optimiser's state is not kept, so a
    training cannot continue from a converted file. The output is {model_state_dict, model_config, ...}.

    If no model of the other dialect gives the same scores, nothing is written and the error states the reason.
    train_pytorch has no biases of entities, so only biases of 0 can be converted to it. A model with additional or
    missing layers, for example without batch norm, cannot be converted.

    PyKEEN's biases of entities are parameters too. Over all parameters, training triples with the tail of the test
    triple therefore get a little more influence. `run --parameters '*_embeddings.*' 'bn*' 'conv1.*' 'fc.*'` leaves the
    biases out and gives the same influences for both files.

    --verify reads the written file again and scores 10,000 random triples with both models in float64. PyKEEN's side
    is scored by PyKEEN's own ConvE if it is installed (pip install 'tracin-dask[pykeen]').

    \b
    Examples:
      tracin-dask convert --input best_model.pt --output pykeen.pt --to pykeen --verify
      tracin-dask convert --input-dir checkpoints --output-dir converted --to pykeen --pattern '*_epoch_*.pt'

    \b
    In PyKEEN, for a model with the sizes in model_config:
      model.load_state_dict(torch.load("pykeen.pt", weights_only=True)["model_state_dict"])
    """
    from tracin_dask.cli.actions.convert import convert  # noqa: PLC0415 - torch is slow to import

    convert(options)
