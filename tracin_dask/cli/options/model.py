"""The options that name the trained model, its learning rates, and the parameter tensors that count."""

from typing import TypedDict

from tracin_dask.cli.options.numbers import RealNumber, WholeNumber
from tracin_dask.cli.options.sections import option_of
from tracin_dask.cli.options.values import FILE, ModelFiles
from tracin_dask.places.place import Place

option = option_of("Model")


class ModelFlags(TypedDict):
    """The values of these options, by name."""

    model_path: tuple[list[Place], ...]
    ensemble: bool
    parameters: tuple[str, ...]
    learning_rate: tuple[float, ...]
    learning_rate_schedule: Place | None
    model_description: Place | None
    trust_pickle: bool
    embedding_height: int | None
    embedding_width: int | None


FILE_OPTIONS = (
    option(
        "--model-description",
        type=FILE,
        metavar="FILE.json",
        help='Describes a model that is not a ConvE: {"model": "RotatE", "model_kwargs": {"embedding_dim": 200}}, with '
        'the names of PyKEEN; or "model": "package.module:Class" for your own class.',
    ),
    option(
        "--trust-pickle",
        is_flag=True,
        help="Unpickle a file that cannot be read otherwise, such as PyKEEN's trained_model.pkl, or a checkpoint that "
        "holds Python objects next to the weights. Unpickling can run code from the file: use it only for files from "
        "people whose programs you would run.",
    ),
    option(
        "--embedding-height",
        type=WholeNumber(),
        help="Image rows of a ConvE, if the checkpoint does not state them.",
    ),
    option(
        "--embedding-width",
        type=WholeNumber(),
        help="Image columns of a ConvE, if the checkpoint does not state them.",
    ),
)
"""How files of models are read."""
MODEL_OPTIONS = (
    option(
        "--model-path",
        type=ModelFiles(),
        many="file, e.g. --model-path model.pt",
        required=True,
        metavar="PATH...",
        help="Checkpoint of the trained model (.pt, .pth, .ckpt, .model, .safetensors). Or several of one training, a "
        "folder of them, or a pattern in "
        "quotes: influences are summed over them, in the order of their epochs.",
    ),
    option(
        "--ensemble",
        is_flag=True,
        help="Each --model-path PATH is a training by itself: a checkpoint, or a folder or pattern of its checkpoints. "
        "Influences are averaged over the trainings, and each states how much it differs between them.",
    ),
    option(
        "--parameters",
        many="pattern, e.g. --parameters 'fc.*'",
        metavar="PATTERN...",
        help="Track only the parameter tensors that match, e.g. 'fc.*' 'bn2.*'. [default: all]",
    ),
    option(
        "--learning-rate",
        type=RealNumber(above=0.0),
        many="number, e.g. --learning-rate 0.001",
        metavar="FLOAT...",
        help="Factor of every influence: one number for all checkpoints, or one for each. [default: the one in each "
        "checkpoint, or 0.001]",
    ),
    option(
        "--learning-rate-schedule",
        type=FILE,
        help="File with lines of `epoch TAB learning rate`, epochs as in the checkpoints (`train` counts from 0), or "
        "`checkpoint's file name TAB learning rate`.",
    ),
    *FILE_OPTIONS,
)
