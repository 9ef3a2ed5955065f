"""Trained models and what their files say; ConvE from the files that exist: four shapes, two dialects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.facts import check_values, stated_facts
from tracin_dask.models.checkpoints.files import read_torch_file
from tracin_dask.models.conve.dialects import recognise_dialect, rename_tensors
from tracin_dask.models.conve.dimensions import SIZE_NAMES, ImageSize, infer_config
from tracin_dask.models.conve.model import ConvE, ConvEConfig
from tracin_dask.models.description import ModelDescription
from tracin_dask.models.rowwise import RowwiseModel
from tracin_dask.models.scoring import ScoringConfig
from tracin_dask.places.files import sha256_of
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A trained ConvE and what its file says about it.

    `model` is in eval mode on the CPU. `sha256` is that of the file. `epoch` counts from 0. `id_maps_sha256`
    tells which entity and relation ids the model was trained with. What the file does not state is None.
    """

    model: ConvE
    config: ConvEConfig
    path: Place
    sha256: str
    dialect: str
    learning_rate: float | None = None
    epoch: int | None = None
    id_maps_sha256: str | None = None
    label_smoothing: float | None = None
    description: ClassVar[None] = None
    is_pickle: bool = False
    """Whether the file is a whole model, which only the process that was told to trust it reads."""

    @property
    def name(self) -> str:
        """What the model is called."""
        return "ConvE"

    @property
    def dtype(self) -> torch.dtype:
        """The type of the model's weights."""
        return self.model.fc.weight.dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class RowwiseCheckpoint:
    """Any other trained model, as `Checkpoint` is of a ConvE; a file without a `description` is a whole model."""

    model: RowwiseModel
    description: ModelDescription | None
    path: Place
    sha256: str
    learning_rate: float | None = None
    epoch: int | None = None
    id_maps_sha256: str | None = None
    label_smoothing: float | None = None

    @property
    def config(self) -> ScoringConfig:
        """What is known of the model."""
        return self.model.config

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.config.name

    @property
    def is_pickle(self) -> bool:
        """Whether the file is a whole model, which only the process that was told to trust it reads."""
        return self.description is None

    @property
    def dtype(self) -> torch.dtype:
        """The type of the model's weights."""
        return self.model.dtype


AnyCheckpoint: TypeAlias = Checkpoint | RowwiseCheckpoint


def load_checkpoint(
    path: AnyPath,
    *,
    embedding_height: int | None = None,
    embedding_width: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Checkpoint:
    """Load a ConvE from a file of `tracin-dask train`, train_pytorch or PyKEEN, without running code from it.

    Parameters
    ----------
    path
        A file {model_state_dict, model_config, ...}, {model_state_dict, config}, {state_dict, version} or a bare
        state dict.
    embedding_height, embedding_width
        The size of one embedding's image, where the file does not state it and it does not follow from the shapes.
    dtype
        The type of the model's weights, whatever the file's is.

    Raises
    ------
    NoConvEError
        If it is no ConvE of a known dialect.
    CheckpointError
        If the file cannot be read safely, has NaN or infinite weights, or contradicts itself.
    """
    place = place_of(path)
    try:
        contents = read_torch_file(place, lazily=True)
        state, stated = split_contents(contents)
        dialect = recognise_dialect(state)
        tensors = rename_tensors(state, dialect)
        wanted = ImageSize(height=embedding_height, width=embedding_width)
        config = infer_config(tensors, dialect, stated=stated, wanted=wanted)
        return Checkpoint(
            model=build_model(config, tensors, dtype=dtype),
            config=config,
            path=place,
            sha256=sha256_of(place),
            dialect=dialect.name,
            **stated_facts(contents),
        )
    except CheckpointError as error:
        raise type(error)(f"{place}: {error}") from error


def check_fits(
    checkpoint: AnyCheckpoint, *, num_entities: int, num_relations: int, id_maps_sha256: str | None = None
) -> None:
    """Refuse a checkpoint that was not trained with these id maps.

    Raises
    ------
    CheckpointError
        If a count differs, or both hashes are known and differ: every score would be that of other triples.
    """
    config = checkpoint.config
    for kind, trained, given in (
        ("entities", config.num_entities, num_entities),
        ("relations", config.num_relations, num_relations),
    ):
        if trained != given:
            is_doubled = kind == "relations" and trained == 2 * given
            inverses = ", in which every relation has a row for its inverse, too: PyKEEN's `create_inverse_triples`"
            raise CheckpointError(
                f"{checkpoint.path} was trained with {trained:,} {kind}, the id map has {given:,}; "
                f"give the id maps that the model was trained with{inverses if is_doubled else ''}"
            )
    if None not in (checkpoint.id_maps_sha256, id_maps_sha256) and checkpoint.id_maps_sha256 != id_maps_sha256:
        raise CheckpointError(
            f"{checkpoint.path} was trained with other id maps of the same size (sha256 "
            f"{checkpoint.id_maps_sha256}, these have {id_maps_sha256}): "
            "its rows belong to other labels; give the maps of the training"
        )


def build_model(config: ConvEConfig, tensors: Mapping[str, Tensor], *, dtype: torch.dtype) -> ConvE:
    """Build a ConvE in eval mode from copies of these tensors, named as in `ConvE`.

    Raises
    ------
    CheckpointError
        If a tensor has another shape than the sizes ask for, or values that no trained model has.
    """
    with torch.device("meta"):
        model = ConvE(config)
    state = {}
    for name, expected in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
            continue
        if tensors[name].shape != expected.shape:
            found, wanted = tuple(tensors[name].shape), tuple(expected.shape)
            raise CheckpointError(f"{name} has the shape {found}; the other tensors ask for {wanted}")
        state[name] = tensors[name].to(dtype, copy=True).contiguous()
        check_values(name, state[name])
    model.load_state_dict(state, assign=True)
    return model.eval()


def split_contents(contents: Mapping[object, object]) -> tuple[dict[str, Tensor], list[tuple[str, int]]]:
    """Find the state dict and the stated sizes in any of the four shapes.

    Raises
    ------
    CheckpointError
        If there is no dictionary of named tensors, or a stated size is no whole number.
    """
    holder = next((key for key in ("model_state_dict", "state_dict") if key in contents), None)
    state = contents if holder is None else contents[holder]
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise CheckpointError(f"{holder or 'the file'} is no dictionary of named tensors")
    strangers = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if strangers:
        raise CheckpointError(
            f"neither model_state_dict nor state_dict is there, and {strangers[0]!r} is no tensor"
            if holder is None
            else f"{strangers[0]!r} in {holder} is no tensor"
        )
    config = {} if holder is None else contents.get("model_config", contents.get("config", {}))
    return dict(state), _stated_sizes(config)


def _stated_sizes(config: object) -> list[tuple[str, int]]:
    """Gather the sizes that a configuration states, at any depth."""
    if not isinstance(config, Mapping):
        return []
    found = []
    for name, value in config.items():
        if name in SIZE_NAMES and value is not None:
            if not isinstance(value, int):
                raise CheckpointError(f"its configuration states {name} {value!r}, which is no whole number")
            found.append((name, value))
        found.extend(_stated_sizes(value))
    return found
