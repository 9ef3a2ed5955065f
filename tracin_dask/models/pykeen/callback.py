"""A callback for PyKEEN's training loop: checkpoints and id maps from which `tracin-dask run` explains the model later.

Needs the extra `pykeen`.
"""

import atexit
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tracin_dask.errors import ConfigError
from tracin_dask.models.checkpoints.files import write_torch_file
from tracin_dask.models.pykeen.graph import read_id_maps, write_graph
from tracin_dask.models.pykeen.imports import CoreTriplesFactory, TrainingCallback, TrainingLoop
from tracin_dask.models.pykeen.settings import checkpoint_tells
from tracin_dask.places.explained import writing
from tracin_dask.places.files import locked_folder
from tracin_dask.places.registry import local_path_of

_LOCKS: dict[Path, ExitStack] = {}
"""The locks of the folders that this process trains into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Epoch:
    """A finished epoch; `number` counts from 1. `learning_rate` is that of its steps."""

    number: int
    loss: float
    learning_rate: float


class TracInCheckpointTrainingCallback(TrainingCallback):
    """Write what TracIn needs while PyKEEN trains a ConvE, ComplEx, DistMult, RotatE, TransE or TuckER.

    When the training starts, `output_dir` gets `entity_to_id.tsv`, `relation_to_id.tsv` and `train.txt`: the triples
    that are trained on, as ids (with inverse triples: these, too). After every `frequency` epochs and after the last
    one `output_dir/checkpoints/checkpoint_epoch_N.pt` is written: weights by PyKEEN's names, the model's sizes or
    settings, the optimiser's state, the epoch's learning rate and loss, and a hash of the id maps.

    With an early stopper give its frequency: then the epoch that PyKEEN returns to, `result.stopper.best_epoch`, is
    among the checkpoints. (Where it ends the training PyKEEN does not tell callbacks, and nothing more is written.)

    Parameters
    ----------
    output_dir
        A folder; it is made.
    triples_factory
        The triples of the training, with labels: `dataset.training`.
    frequency
        Epochs from one checkpoint to the next.

    Examples
    --------
    ``pipeline(..., training_kwargs={"callbacks": TracInCheckpointTrainingCallback("model", dataset.training)})``,
    then ``tracin-dask run --model-path model/checkpoints/checkpoint_epoch_5.pt --train model/train.txt
    --entity-to-id model/entity_to_id.tsv --relation-to-id model/relation_to_id.tsv --test-triple H R T ...``.
    """

    def __init__(self, output_dir: Path | str, triples_factory: CoreTriplesFactory, frequency: int = 1) -> None:
        """Check the settings and the labels; nothing is written before the training starts.

        Raises
        ------
        ConfigError
            If `frequency` is below 1, or the triples have no labels.
        PlaceError
            If the folder is a URL.
        """
        super().__init__()  # type: ignore[no-untyped-call] # PyKEEN leaves it without types
        if frequency < 1:
            raise ConfigError(f"frequency is {frequency}; expected at least 1 epoch")
        self.output_dir = local_path_of(output_dir, "output_dir")
        self.frequency = frequency
        self.triples_factory = triples_factory
        self._id_maps = read_id_maps(triples_factory)
        self._last: _Epoch | None = None
        self._told: dict[str, object] = {}
        self._lock = ExitStack()

    def register_training_loop(self, training_loop: TrainingLoop[Any]) -> None:
        """Check that this model can be explained, and write the graph's files.

        Raises
        ------
        BusyError
            If another process trains into the folder; the message names it.
        ConfigError
            If it is none of these models or of another graph, or if files of another training are in the folder.
        """
        super().register_training_loop(training_loop)
        self._told = checkpoint_tells(self.model)
        for kind, trained, given in (
            ("entities", self.model.num_entities, len(self._id_maps.entities)),
            ("relations", self.model.num_relations, len(self._id_maps.relations)),
        ):
            if trained != given:
                raise ConfigError(
                    f"the model has {trained:,} {kind}, triples_factory {given:,} (inverses included); give the "
                    "triples_factory that the model is trained with"
                )
        self._reserve_folder()
        self._refuse_earlier_checkpoints(len(training_loop.losses_per_epochs))
        write_graph(self.triples_factory, self._id_maps, self.output_dir)

    def post_epoch(self, epoch: int, epoch_loss: float, **kwargs: Any) -> None:  # noqa: ANN401, ARG002 - PyKEEN's signature
        """Write a checkpoint if it is time; `epoch` counts from 1."""
        # PyKEEN steps a learning rate scheduler after this: here the rate is still the one of this epoch
        self._last = _Epoch(number=epoch, loss=epoch_loss, learning_rate=self._learning_rate())
        if epoch % self.frequency == 0:
            self._write(self._last)

    def post_train(self, losses: list[float], **kwargs: Any) -> None:  # noqa: ANN401, ARG002 - PyKEEN's signature
        """Write the last epoch's checkpoint, unless it is written already."""
        if self._last is not None and self._last.number % self.frequency:
            self._write(self._last)
        self._lock.close()

    def _reserve_folder(self) -> None:
        """Let no other process train into the folder, until this training or this process ends.

        PyKEEN does not tell callbacks of a training that failed: a later training of this process takes over.
        """
        with writing(self.output_dir, "the training"):
            folder = self.output_dir.resolve()
            folder.mkdir(parents=True, exist_ok=True)
            _LOCKS.pop(folder, ExitStack()).close()
            self._lock.enter_context(locked_folder(folder))
            _LOCKS[folder] = self._lock
            atexit.register(self._lock.close)

    @property
    def _folder(self) -> Path:
        return self.output_dir / "checkpoints"

    def _refuse_earlier_checkpoints(self, num_done: int) -> None:
        """Refuse checkpoints of later epochs: they belong to another training."""
        for path in sorted(self._folder.glob("checkpoint_epoch_*.pt")):
            number = path.stem.removeprefix("checkpoint_epoch_")
            if number.isdecimal() and int(number) > num_done:
                raise ConfigError(f"{path} exists already, from another training; choose another output_dir")

    def _learning_rate(self) -> float:
        rates = {float(group["lr"]) for group in self.optimizer.param_groups}
        if len(rates) > 1:
            raise ConfigError(f"the optimiser has several learning rates, {sorted(rates)}; TracIn needs a single one")
        return rates.pop()

    def _write(self, epoch: _Epoch) -> None:
        contents = {
            "epoch": epoch.number - 1,
            "model_state_dict": _on_cpu(self.model),
            "optimizer_state_dict": self.optimizer.state_dict(),
            **self._told,
            "metrics": {"train_loss": epoch.loss},
            "learning_rate": epoch.learning_rate,
            "id_maps_sha256": self._id_maps.sha256,
        }
        write_torch_file(self._folder / f"checkpoint_epoch_{epoch.number}.pt", contents)


def _on_cpu(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.cpu() for name, tensor in model.state_dict().items()}
