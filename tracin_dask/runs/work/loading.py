"""The models that this process holds: each checkpoint is loaded once for all tasks of a run."""

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import torch

from tracin_dask.errors import CheckpointError
from tracin_dask.influence.engine import ReadyModel, engine_kind
from tracin_dask.influence.precision import Precision
from tracin_dask.models.checkpoints.adam import Scales, adam_scales
from tracin_dask.models.checkpoints.checkpoint import build_model
from tracin_dask.models.checkpoints.files import unpickle_model
from tracin_dask.models.config import ModelConfig
from tracin_dask.models.conve.model import ConvE, ConvEConfig
from tracin_dask.models.description import ModelDescription
from tracin_dask.models.load import face_of, load_checkpoint
from tracin_dask.models.rowwise import RowwiseModel
from tracin_dask.places.files import sha256_of
from tracin_dask.places.place import Place

AnyModel: TypeAlias = ConvE | RowwiseModel


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFile:
    """A checkpoint by its path on the workers, or by its weights where they do not see the path."""

    path: Place
    sha256: str
    config: ModelConfig
    dtype: torch.dtype
    description: ModelDescription | None = field(default=None, hash=False)
    """What the weights are those of, where it is no ConvE."""
    is_pickle: bool = False
    """Whether the file is a whole model: the client alone unpickles it, and sends it."""
    preconditioned: frozenset[str] = frozenset()
    """The parameter tensors of which Adam's preconditioner is read, too."""
    weights: bytes | None = field(default=None, compare=False, hash=False)

    def load(self) -> "Contents":
        """Load the model, and its preconditioner.

        Raises
        ------
        CheckpointError
            If the file is not the one that the run was planned with.
        """
        if self.weights is not None:
            return self._of_weights(io.BytesIO(self.weights))
        if sha256_of(self.path) != self.sha256:
            raise CheckpointError(f"{self.path} changed since the run was planned; start the run again")
        image = {}
        if isinstance(self.config, ConvEConfig) and not self.is_pickle:
            image = {"embedding_height": self.config.embedding_height, "embedding_width": self.config.embedding_width}
        checkpoint = load_checkpoint(
            self.path, description=self.description, trust_pickle=self.is_pickle, **image, dtype=self.dtype
        )
        scales = adam_scales(checkpoint, self.preconditioned) if self.preconditioned else {}
        return Contents(model=checkpoint.model, scales=scales)

    def dump(self) -> bytes:
        """Give what `weights` takes."""
        contents = self.load()
        return contents.dumped(whole=self.is_pickle and isinstance(contents.model, RowwiseModel))

    def _of_weights(self, weights: io.BytesIO) -> "Contents":
        if self.is_pickle and not isinstance(self.config, ConvEConfig):
            return Contents(model=face_of(unpickle_model(weights)), scales={})
        sent = torch.load(weights, weights_only=True)
        if isinstance(self.config, ConvEConfig):
            return Contents(model=build_model(self.config, sent["model"], dtype=self.dtype), scales=sent["scales"])
        assert self.description is not None  # noqa: S101 - such a model has one, unless it is pickled
        return Contents(model=self.description.build(sent["model"], dtype=self.dtype), scales=sent["scales"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What is loaded of a checkpoint."""

    model: AnyModel
    scales: Scales
    """Its preconditioner, of the tensors that this was asked for."""

    def dumped(self, *, whole: bool = False) -> bytes:
        """Give the `weights` that a worker takes: tensors alone, or the `whole` model, pickled."""
        model, buffer = self.model.model if isinstance(self.model, RowwiseModel) else self.model, io.BytesIO()
        torch.save(model if whole else {"model": model.state_dict(), "scales": dict(self.scales)}, buffer)
        return buffer.getvalue()


@dataclass(slots=True, kw_only=True)
class Loaded:
    """A model from which engines are made."""

    ready: ReadyModel
    is_counted: bool = True
    """Whether a task has stated that the checkpoint was loaded."""


ModelKey = tuple[str, ModelConfig, torch.dtype, frozenset[str], torch.device, Precision]
"""The file, the sizes (one that does not state the image's height and width is another model with others), formats."""
_models: dict[ModelKey, Loaded] = {}
"""The models of the last run."""


def keep_only(files: Iterable[CheckpointFile], device: torch.device, precision: Precision) -> bool:
    """Forget the models of other files, devices and precisions; tells whether there were any."""
    others = _models.keys() - {_key(file, device, precision) for file in files}
    for key in others:
        del _models[key]
    return bool(others)


def loaded(file: CheckpointFile, device: torch.device, precision: Precision) -> tuple[Loaded, bool]:
    """Give a checkpoint's model, and whether nobody has counted yet that it was loaded; that is counted then."""
    known = _models.get(_key(file, device, precision))
    model = known or remember(file, file.load(), device, precision)
    is_new, model.is_counted = known is None or not model.is_counted, True
    return model, is_new


def remember(file: CheckpointFile, contents: Contents, device: torch.device, precision: Precision) -> Loaded:
    """Make a checkpoint's model ready, which is loaded already, and keep it."""
    ready = engine_kind(file.config).ready(contents.model, contents.scales, device=device, precision=precision)
    made = _models[_key(file, device, precision)] = Loaded(ready=ready)
    return made


def _key(file: CheckpointFile, device: torch.device, precision: Precision) -> ModelKey:
    return file.sha256, file.config, file.dtype, file.preconditioned, device, precision
