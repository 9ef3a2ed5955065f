"""A trained model with the facts of its file, and the check that it fits the id maps of a graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic

import torch
from torch import nn
from typing_extensions import TypeVar

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.contents.labels import Labels, stated_labels
from tracin_dask.models.checkpoints.facts import stated_facts
from tracin_dask.models.checkpoints.files import FileContents
from tracin_dask.models.checkpoints.model_format import ModelFormat, Recognised
from tracin_dask.models.checkpoints.state_dict import state_notes
from tracin_dask.models.config import ModelConfig, TrainedModel
from tracin_dask.places.place import Place
from tracin_dask.types import ALTERNATING, InverseOrder

ModelT_co = TypeVar("ModelT_co", bound=TrainedModel, covariant=True, default=TrainedModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint(Generic[ModelT_co]):
    """A trained model and what its file says about it.

    `model` is in eval mode on the CPU. `format` makes it again on a worker. `sha256` is that of the file. `epoch`
    counts from 0. `id_maps_sha256` tells which entity and relation ids the model was trained with. What the file does
    not state is None.
    """

    model: ModelT_co
    format: ModelFormat
    path: Place
    sha256: str
    learning_rate: float | None = None
    unusable_learning_rate: str | None = None
    """Why the learning rate that the file states is none; it is refused where it would be used."""
    epoch: int | None = None
    id_maps_sha256: str | None = None
    label_smoothing: float | None = None
    inverse_order: InverseOrder | None = None
    """Where a model of this kind has inverse relations, if its training adds them to the relation map."""
    labels: Labels | None = field(default=None, compare=False)
    """The labels of the rows, where the file has them."""
    notes: tuple[str, ...] = ()
    """What was chosen or changed when the file was read, or cannot be verified."""

    def __repr__(self) -> str:
        """Say in one line which model it is, and where its file lies."""
        config = self.config
        epoch = "" if self.epoch is None else f", epoch {self.epoch}"
        counts = f"{self.name}, {config.num_entities:,} entities, {config.num_relations:,} relations{epoch}"
        return f"Checkpoint({str(self.path)!r}: {counts})"

    @property
    def config(self) -> ModelConfig:
        """What is known of the model."""
        return self.model.config

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.config.name

    def usable_learning_rate(self) -> float | None:
        """Give the learning rate that the file states; None if it states none.

        Raises
        ------
        CheckpointError
            If it states one that cannot be used.
        """
        if self.unusable_learning_rate is not None:
            raise CheckpointError(
                f"{self.path}: {self.unusable_learning_rate}; give one with --learning-rate or --learning-rate-schedule"
            )
        return self.learning_rate

    @property
    def dtype(self) -> torch.dtype:
        """The type of the model's weights."""
        return self.model.dtype


def checkpoint_of(path: Place, file: FileContents, found: Recognised) -> Checkpoint:
    """Put a model together with what its file states.

    Raises
    ------
    CheckpointError
        If the file states what cannot be.
    """
    about: Mapping[object, object] = {} if isinstance(file.contents, nn.Module) else file.contents
    config = found.model.config
    sizes = {"num_entities": config.num_entities, "num_relations": config.num_relations}
    return Checkpoint(
        model=found.model,
        format=found.format,
        path=path,
        sha256=file.sha256,
        inverse_order=found.inverse_order,
        notes=(*found.notes, *file.notes, *state_notes(file.contents, found.model)),
        labels=stated_labels(about, **sizes),
        **stated_facts(about),
    )


def check_fits(
    checkpoint: Checkpoint, *, num_entities: int, num_relations: int, id_maps_sha256: str | None = None
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
            order = checkpoint.inverse_order or ALTERNATING
            whose = "PyKEEN's `create_inverse_triples` has" if order == ALTERNATING else "models of its kind have"
            inverses = (
                f", in which every relation has a row for its inverse, too: {whose} relation r and its inverse in the "
                f"rows {order}"
            )
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
