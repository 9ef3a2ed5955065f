"""The settings, the triples and the output files of a training."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256

import numpy as np
from jaxtyping import Int

from tracin_dask.errors import ConfigError
from tracin_dask.models.conve.model import Dropout
from tracin_dask.places.explained import writing
from tracin_dask.places.files import locked_folder
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of
from tracin_dask.seed import check_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """The settings of a training.

    `label_smoothing` is ε: labels are (1 − ε)·onehot + ε/K. `use_mixed_precision` computes in bfloat16 on a CPU
    and in float16 on a GPU. `use_gradient_checkpointing` computes activations again in the backward step instead
    of keeping them. `use_cuda_graph` lets a GPU replay steps as one graph of kernels. `num_workers` is the number of
    processes that prepare batches; 0 prepares them in this one.
    """

    num_epochs: int = 100
    batch_size: int = 256
    learning_rate: float = 0.001
    label_smoothing: float = 0.1
    dropout: Dropout = field(default_factory=Dropout)
    random_seed: int = 42
    checkpoint_frequency: int = 2
    num_workers: int = 0
    use_mixed_precision: bool = False
    use_gradient_checkpointing: bool = False
    use_gpu: bool = True
    use_cuda_graph: bool = False

    def __post_init__(self) -> None:
        """Refuse values that no training can have.

        Raises
        ------
        ConfigError
            With the name of the setting, its value and the values allowed.
        """
        for name, lowest in (
            ("num_epochs", 1),
            ("batch_size", 2),
            ("checkpoint_frequency", 1),
            ("num_workers", 0),
        ):
            _require(name, getattr(self, name), at_least=lowest)
        check_seed("random_seed", self.random_seed)
        if self.use_cuda_graph and (self.use_mixed_precision or self.use_gradient_checkpointing):
            raise ConfigError(
                "use_cuda_graph goes neither with use_mixed_precision nor with use_gradient_checkpointing, whose steps "
                "differ from one another; give only one"
            )
        if not 0 < self.learning_rate < float("inf"):
            raise ConfigError(f"learning_rate is {self.learning_rate}; expected a number above 0")
        rates = asdict(self.dropout) | {"label_smoothing": self.label_smoothing}
        for name, rate in rates.items():
            if not 0 <= rate < 1:
                raise ConfigError(f"{name} is {rate}; expected at least 0 and less than 1")

    def decisive(self) -> dict[str, object]:
        """Name the settings that decide the weights after each epoch; a resumed training must share them."""
        return {
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "label_smoothing": self.label_smoothing,
            "input_dropout": self.dropout.input,
            "feature_map_dropout": self.dropout.feature_map,
            "output_dropout": self.dropout.output,
            "random_seed": self.random_seed,
            "use_mixed_precision": self.use_mixed_precision,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """Triples as ids, and where they come from.

    `valid` and `test` may be empty: no best model is chosen then, or nothing is tested. `sources` names the files
    for the record. `id_maps_sha256` tells which labels the ids stand for.
    """

    train: Int[np.ndarray, "row 3"]
    valid: Int[np.ndarray, "valid_row 3"] = field(default_factory=lambda: np.empty((0, 3), dtype=np.int64))
    test: Int[np.ndarray, "test_row 3"] = field(default_factory=lambda: np.empty((0, 3), dtype=np.int64))
    id_maps_sha256: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse too few training triples.

        Raises
        ------
        ConfigError
            If there are fewer than two: batch norm needs two rows to normalise.
        """
        if len(self.train) < 2:
            raise ConfigError(f"{len(self.train)} training triples; a training needs at least 2")

    def all_triples(self) -> Int[np.ndarray, "all_rows 3"]:
        """Every triple known to be true."""
        return np.concatenate([self.train, self.valid, self.test])

    def fingerprint(self) -> str:
        """Hash what decides the training: the training triples in their order, and the validation triples."""
        digest = sha256()
        for triples in (self.train, self.valid):
            digest.update(np.ascontiguousarray(triples, dtype=np.int64).tobytes())
            digest.update(b"|")
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFiles:
    """Where a training writes, and the checkpoint that it resumes from, if any."""

    output_dir: AnyPath
    checkpoint_dir: AnyPath | None = None
    resume_from: AnyPath | None = None
    overwrite: bool = False
    """Remove the models of an earlier training from the folders."""

    def __post_init__(self) -> None:
        """Refuse two contradicting wishes.

        Raises
        ------
        ConfigError
            If a checkpoint is to be continued from whose training is to be removed.
        """
        if self.overwrite and self.resume_from is not None:
            raise ConfigError(
                "--overwrite removes an earlier training, and --resume-from-checkpoint continues one; give only one"
            )

    @property
    def best_model(self) -> Place:
        """The model with the best validation metric so far."""
        return place_of(self.output_dir) / "best_model.pt"

    @property
    def final_model(self) -> Place:
        """The model after the last epoch."""
        return place_of(self.output_dir) / "final_model.pt"

    @property
    def checkpoints(self) -> Place:
        """The folder of the checkpoints of single epochs."""
        return place_of(self.checkpoint_dir or place_of(self.output_dir) / "checkpoints")

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Let no other training write into these folders, which are made, until the block ends.

        Raises
        ------
        BusyError
            If another training does; the message names its process.
        WriteError
            If a folder cannot be written.
        """
        with ExitStack() as stack:
            for folder in self._folders:
                with writing(folder, "the training"):
                    folder.make_folder()
                    stack.enter_context(locked_folder(folder))
            yield

    def check(self) -> None:
        """Refuse folders that cannot be written now, and leave nothing behind; raises as `reserved`."""
        for folder in self._folders:
            with writing(folder, "the training"):
                folder.check_writable()
                if folder.is_folder():
                    with locked_folder(folder):
                        pass

    @property
    def _folders(self) -> list[Place]:
        places = (place_of(self.output_dir).absolute(), self.checkpoints.absolute())
        return sorted({_resolved(place) for place in places}, key=str)


def _resolved(place: Place) -> Place:
    """Follow symbolic links, so that no folder is locked twice."""
    path = place.local_path()
    return place if path is None else place_of(path.resolve())


def _require(name: str, value: int, *, at_least: int) -> None:
    if value < at_least:
        raise ConfigError(f"{name} is {value}; expected at least {at_least}")
