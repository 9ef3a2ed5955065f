"""ConvE from checkpoint files of any known dialect: four shapes of files, without running code from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from tracin_dask.errors import CheckpointError, NoConvEError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint, checkpoint_of
from tracin_dask.models.checkpoints.facts import check_kind, check_values, optional_mapping
from tracin_dask.models.checkpoints.files import read_contents
from tracin_dask.models.checkpoints.model_format import LoadOptions, Recognised, dump_tensors, restore_tensors
from tracin_dask.models.checkpoints.state_dict import common_prefix, state_of, stated_sizes, unwrapped
from tracin_dask.models.config import TrainedModel
from tracin_dask.models.conve.dialects import Dialect, recognise_dialect, rename_tensors
from tracin_dask.models.conve.dimensions import ImageSize, infer_config
from tracin_dask.models.conve.model import SIZE_NAMES, ConvE, ConvEConfig
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvEFormat:
    """The tensors of a ConvE of these sizes, named as in a dialect."""

    dialect: Dialect
    config: ConvEConfig
    is_pickle: bool = False

    @property
    def name(self) -> str:
        """The name of the dialect."""
        return self.dialect.name

    def read(self, path: Place, *, dtype: torch.dtype) -> ConvE:
        """Build the model from a file of weights, or from a whole pickled model."""
        return self.build(state_of(read_contents(path, trust_pickle=self.is_pickle).contents), dtype=dtype)

    def build(self, state: Mapping[str, Tensor], *, dtype: torch.dtype) -> ConvE:
        """Build the model from a state dict of the dialect."""
        return build_model(self.config, rename_tensors(unwrapped(state), self.dialect), dtype=dtype)

    def dump(self, model: TrainedModel) -> bytes:
        """Give the tensors by the names of `ConvE`."""
        return dump_tensors(model.module.state_dict())

    def restore(self, dumped: bytes, *, dtype: torch.dtype) -> ConvE:
        """Build the model from these tensors."""
        return build_model(self.config, restore_tensors(dumped), dtype=dtype)

    def names_in_file(self, model: TrainedModel, state: Mapping[str, Tensor], number: int) -> Mapping[str, str]:
        """Give each parameter's name in the file: an optimiser has them in the order of the file."""
        del model, number
        ours, prefix = self.dialect.parameters, common_prefix(state.keys())
        theirs = {name.removeprefix(prefix): name for name in state}
        return {ours[bare]: name for bare, name in theirs.items() if bare in ours}


def load_conve(
    path: AnyPath,
    *,
    embedding_height: int | None = None,
    embedding_width: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Checkpoint[ConvE]:
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
        If it is not a ConvE of a known dialect.
    CheckpointError
        If the file cannot be read safely, has NaN or infinite weights, or contradicts itself.
    """
    place = place_of(path)
    options = LoadOptions(dtype=dtype, embedding_height=embedding_height, embedding_width=embedding_width)
    try:
        file = read_contents(place)
        found = recognise_conve(optional_mapping(file.contents), options)
        return cast("Checkpoint[ConvE]", checkpoint_of(place, file, found))
    except CheckpointError as error:
        raise type(error)(f"{place}: {error}") from error


def recognise_conve(contents: Mapping[object, object], options: LoadOptions) -> Recognised:
    """Build a ConvE from the contents of a file.

    Raises
    ------
    NoConvEError
        If it is not a ConvE of a known dialect.
    CheckpointError
        If the tensors contradict each other or what is stated, or are those of no trained model.
    """
    model_format = conve_format(contents, options)
    return Recognised(
        model=model_format.build(state_of(contents), dtype=options.dtype),
        format=model_format,
        inverse_order=model_format.dialect.inverse_order,
        notes=() if model_format.dialect.note is None else (model_format.dialect.note,),
    )


def conve_format(contents: Mapping[object, object], options: LoadOptions) -> ConvEFormat:
    """Find the dialect and the sizes of a ConvE."""
    state = unwrapped(state_of(contents))
    dialect = recognise_dialect(state)
    config = infer_config(
        rename_tensors(state, dialect),
        dialect,
        stated=stated_sizes(contents, SIZE_NAMES),
        wanted=ImageSize(height=options.embedding_height, width=options.embedding_width),
    )
    return ConvEFormat(dialect=dialect, config=config, is_pickle=options.is_pickle)


def is_conve(state: Mapping[str, Tensor]) -> bool:
    """Tell whether a state dict has the tensors of a ConvE of a known dialect, and no others."""
    try:
        state = unwrapped(state)
        rename_tensors(state, recognise_dialect(state))
    except NoConvEError:
        return False
    return True


def build_model(config: ConvEConfig, tensors: Mapping[str, Tensor], *, dtype: torch.dtype) -> ConvE:
    """Build a ConvE in eval mode from copies of these tensors, named as in `ConvE`.

    Raises
    ------
    CheckpointError
        If a tensor has another shape than the sizes ask for, or values that no trained model has.
    """
    with torch.device("meta"):
        model = ConvE(config)
    if not config.has_convolution_bias:
        tensors = {**tensors, "conv1.bias": torch.zeros(config.output_channels)}
    state = {}
    for name, expected in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
            continue
        if tensors[name].shape != expected.shape:
            found, wanted = tuple(tensors[name].shape), tuple(expected.shape)
            raise CheckpointError(f"{name} has the shape {found}; the other tensors ask for {wanted}")
        check_kind(name, tensors[name], expected)
        state[name] = tensors[name].to(dtype, copy=True).contiguous()
        check_values(name, state[name])
    model.load_state_dict(state, assign=True)
    return model.eval()
