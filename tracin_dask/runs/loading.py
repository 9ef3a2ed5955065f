"""The folded models that this process holds: each checkpoint is loaded once for all tasks of a run."""

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tracin_dask.errors import CheckpointError
from tracin_dask.influence.folded import FoldedConvE, fold
from tracin_dask.influence.jacobians import RelationTable, relation_table
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.preconditioner import Preconditioner, lay_out_scales
from tracin_dask.models.adam import Scales, adam_scales
from tracin_dask.models.checkpoint import build_model, load_checkpoint
from tracin_dask.models.conve import ConvE, ConvEConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFile:
    """A checkpoint by its path on the workers, or by its weights where they do not see the path."""

    path: Path
    sha256: str
    config: ConvEConfig
    dtype: torch.dtype
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
            sent = torch.load(io.BytesIO(self.weights), weights_only=True)
            model = build_model(self.config, sent["model"], dtype=self.dtype)
            return Contents(model=model, scales=sent["scales"])
        height, width = self.config.embedding_height, self.config.embedding_width
        checkpoint = load_checkpoint(self.path, embedding_height=height, embedding_width=width, dtype=self.dtype)
        if checkpoint.sha256 != self.sha256:
            raise CheckpointError(f"{self.path} changed since the run was planned; start the run again")
        scales = adam_scales(checkpoint, self.preconditioned) if self.preconditioned else {}
        return Contents(model=checkpoint.model, scales=scales)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What is loaded of a checkpoint."""

    model: ConvE
    scales: Scales
    """Its preconditioner, of the tensors that this was asked for."""

    def dumped(self) -> bytes:
        """Give the `weights` that a worker takes which does not see the file."""
        buffer = io.BytesIO()
        torch.save({"model": self.model.state_dict(), "scales": dict(self.scales)}, buffer)
        return buffer.getvalue()


class Loaded:
    """A folded model with its preconditioner, and its relation table once that is asked for."""

    def __init__(self, folded: FoldedConvE, preconditioner: Preconditioner, precision: Precision) -> None:
        """Take a model that was folded in this precision."""
        self.folded, self.preconditioner, self._precision = folded, preconditioner, precision
        self.is_counted = True
        """Whether a task has stated that the checkpoint was loaded."""
        self._relations: RelationTable | None = None

    def relations(self) -> RelationTable | None:
        """Give the relation table, made once; None where no region sees the relation alone."""
        if self._relations is None:
            with torch.no_grad():
                self._relations = relation_table(self.folded, self._precision)
        return self._relations


ModelKey = tuple[str, ConvEConfig, torch.dtype, frozenset[str], torch.device, Precision]
"""The file, the sizes (one that does not state the image's height and width is another model with others), formats."""
_models: dict[ModelKey, Loaded] = {}
"""The folded models of the last run."""


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
    """Fold a checkpoint's model, which is loaded already, and keep it."""
    folded = fold(contents.model, device=device, precision=precision)
    made = Loaded(folded, lay_out_scales(contents.scales, file.config, device=device), precision)
    _models[_key(file, device, precision)] = made
    return made


def _key(file: CheckpointFile, device: torch.device, precision: Precision) -> ModelKey:
    return file.sha256, file.config, file.dtype, file.preconditioned, device, precision
