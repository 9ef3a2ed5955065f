"""A checkpoint as workers get it: by its path, or as bytes where they do not see the path."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.checkpoints.model_format import ModelFormat, dump_tensors, restore_tensors
from tracin_dask.models.config import ModelConfig, TrainedModel
from tracin_dask.places.files import sha256_of
from tracin_dask.places.place import Place


@runtime_checkable
class StateReader(Protocol):
    """Reads what a preconditioner needs of a checkpoint beyond the weights."""

    @property
    def name(self) -> str:
        """What tells the reader from others."""
        ...

    def read(self, checkpoint: Checkpoint, names: Collection[str]) -> Mapping[str, Tensor]:
        """Read it for some parameter tensors; raises CheckpointError if the checkpoint does not have it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """A checkpoint's model, and what a preconditioner reads of the file, by names."""

    model: TrainedModel
    state: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentContents:
    """The contents of a checkpoint as bytes."""

    model: bytes
    state: bytes

    def __len__(self) -> int:
        """Count the bytes."""
        return len(self.model) + len(self.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFile:
    """A checkpoint that a worker can load."""

    path: Place
    sha256: str
    config: ModelConfig
    dtype: torch.dtype
    format: ModelFormat = field(hash=False)
    preconditioned: frozenset[str] = frozenset()
    """The parameter tensors of which the reader reads more than the weights."""
    reader: StateReader | None = field(default=None, hash=False)
    sent: SentContents | None = field(default=None, compare=False, hash=False)
    """The contents, for workers that do not see the path or must not unpickle the file."""

    @classmethod
    def of(
        cls, checkpoint: Checkpoint, preconditioned: Collection[str] = (), reader: StateReader | None = None
    ) -> "CheckpointFile":
        """Describe a checkpoint that the client loaded."""
        return cls(
            path=checkpoint.path.absolute(),
            sha256=checkpoint.sha256,
            config=checkpoint.config,
            dtype=checkpoint.dtype,
            format=checkpoint.format,
            preconditioned=frozenset(preconditioned),
            reader=reader,
        )

    @property
    def is_pickle(self) -> bool:
        """Whether the file is a whole model: the client alone unpickles it, and sends it."""
        return self.format.is_pickle

    def load(self) -> Contents:
        """Load the model, and its preconditioner.

        Raises
        ------
        CheckpointError
            If the file is not the one that the run was planned with.
        """
        if self.sent is not None:
            model = self.format.restore(self.sent.model, dtype=self.dtype)
            return Contents(model=model, state=restore_tensors(self.sent.state))
        if sha256_of(self.path) != self.sha256:
            raise CheckpointError(f"{self.path} changed since the run was planned; start the run again")
        try:
            model = self.format.read(self.path, dtype=self.dtype)
        except CheckpointError as error:
            raise CheckpointError(f"{self.path}: {error}") from error
        return Contents(model=model, state=self._state(model))

    def dump(self) -> SentContents:
        """Give the contents as bytes, to be set as `sent`."""
        return self.dump_contents(self.load())

    def dump_contents(self, contents: Contents) -> SentContents:
        """Give these contents as bytes."""
        return SentContents(model=self.format.dump(contents.model), state=dump_tensors(contents.state))

    def _state(self, model: TrainedModel) -> Mapping[str, Tensor]:
        if self.reader is None:
            return {}
        checkpoint = Checkpoint(model=model, format=self.format, path=self.path, sha256=self.sha256)
        return self.reader.read(checkpoint, self.preconditioned)
