"""Influences of all training triples by a method: saved by an ordinary run, and read rows by rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import zarr
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.errors import ConfigError, ResumeError, ScoresError
from tracin_dask.identity import digest_of
from tracin_dask.influence.precision import working_dtype
from tracin_dask.launch.run import run
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.conve.model import ConvE
from tracin_dask.models.load import load_checkpoint
from tracin_dask.report.result import InfluenceResult
from tracin_dask.runs.code_digest import scoring_code_digest
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.execute.driver import Execution
from tracin_dask.runs.sinks.score_writer import INFLUENCE, SELF_INFLUENCE
from tracin_dask.triples.store import TripleStore
from tracin_dask.validation.baselines import BASELINES, BaselineScores, Situation
from tracin_dask.validation.folder import digest_of_json
from tracin_dask.validation.given import GivenScores, write_question
from tracin_dask.validation.methods import Method
from tracin_dask.validation.models import Bench
from tracin_dask.validation.rows import STRATUM_ROWS
from tracin_dask.validation.seeds import seed_for
from tracin_dask.validation.trainings import Training

AGAIN = "delete it, and the same command computes these influences again"
BLOCK_BYTES = 64 * 2**20
"""Bytes of the influences that are held at a time."""


@runtime_checkable
class Influences(Protocol):
    """Numbers for pairs of a test triple and a training triple."""

    def read(self, start: int, stop: int) -> Float[ndarray, "test row"]:
        """Give those of some rows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedScores:
    """Influences that runs saved: the mean over several trainings."""

    paths: tuple[Path, ...]
    name: str = INFLUENCE

    def read(self, start: int, stop: int) -> Float[ndarray, "test row"]:
        """Read some rows; self-influences are those of one test triple.

        Raises
        ------
        ScoresError
            If a file is damaged or gone.
        """
        mean: ndarray = np.mean([self._read(path, start, stop) for path in self.paths], axis=0)
        return mean

    def _read(self, path: Path, start: int, stop: int) -> Float[ndarray, "test row"]:
        try:
            array: Any = zarr.open_group(path, mode="r")[self.name]
            found = np.atleast_2d(np.asarray(array[..., start:stop], dtype=np.float64))
        except (ValueError, KeyError, OSError, RuntimeError) as error:
            raise ScoresError(f"{path} is damaged ({error}); {AGAIN}") from error
        if not np.isfinite(found).all():
            raise ScoresError(f"{path} has lost influences of the training triples {start:,} to {stop:,}; {AGAIN}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explained:
    """What is explained: test triples (None for self-influence) in a graph, by trained models.

    Attributes
    ----------
    trainings
        Trainings on the whole graph whose checkpoints are kept; a method takes the first ones.
    """

    bench: Bench
    store: TripleStore
    tests: Int[ndarray, "test 3"] | None
    trainings: Sequence[Training]
    seed: int

    def by(self, method: Method) -> Influences:
        """Find the influences by a method, with runs where they are not saved yet; raises as `tracin_dask.run`."""
        if method.baseline is not None:
            return BaselineScores(baseline=BASELINES[method.baseline], situation=self._situation())
        if method.scores is not None:
            return GivenScores.of(self.bench.folder.path / method.scores, (len(self._asked), len(self.store)))
        if method.trainings > len(self.trainings):
            raise ConfigError(f"the method {method.name!r} needs {method.trainings} trainings on all triples")
        paths = tuple(self._saved(method, training) for training in self.trainings[: method.trainings])
        return SavedScores(paths=paths, name=SELF_INFLUENCE if self.tests is None else INFLUENCE)

    def write_question(self) -> None:
        """Tell other tools what is explained, and by which model: the first one; raises as `given.write_question`."""
        write_question(
            self.bench.folder.path,
            training=self.bench.material.triples[: len(self.store)],
            tests=self._asked,
            checkpoints=self.bench.checkpoints(self.trainings[0]),
        )

    def model(self, index: int = 0) -> ConvE:
        """Load the last model of a training."""
        model = load_checkpoint(self.bench.checkpoints(self.trainings[index])[-1]).model
        assert isinstance(model, ConvE)  # noqa: S101 - the trainer trains no other
        return model

    @property
    def _asked(self) -> Int[ndarray, "test 3"]:
        assert self.tests is not None  # noqa: S101 - studies of self-influence leave numbers from elsewhere out
        return self.tests

    def _situation(self) -> Situation:
        nothing = np.zeros((1, 3), dtype=np.int64)
        return Situation(
            triples=self.bench.material.triples[: len(self.store)],
            tests=nothing if self.tests is None else self.tests,
            model=self.model(),
            seed=seed_for(self.seed, "baseline") % 2**32,
        )

    def _saved(self, method: Method, training: Training) -> Path:
        """Run a method with the models of one training, unless that is done."""
        chosen = method.epochs(training.checkpoint_epochs)
        files = dict(zip(training.checkpoint_epochs, self.bench.checkpoints(training), strict=True))
        dtype = working_dtype(method.config(0.0).computing.precision)
        models = [load_checkpoint(files[epoch], dtype=dtype) for epoch in chosen]
        path = self.bench.folder.path / "influences" / f"{self._key(method, models)}.zarr"
        if not _is_complete(path):
            self._run(method, models, path)
        return path

    def _key(self, method: Method, models: Sequence[Checkpoint]) -> str:
        tests = None if self.tests is None else digest_of(self.tests)
        hashes = [model.sha256 for model in models]
        about = [method.identity, hashes, tests, self.store.info.fingerprint, scoring_code_digest()]
        return digest_of_json(about)

    def _run(self, method: Method, models: Sequence[Checkpoint], path: Path) -> None:
        mode = "self" if self.tests is None else "test"
        smoothing = self.bench.material.settings.label_smoothing
        self.bench.workers.say(f"influences by {method.name}")
        try:
            config = method.config(smoothing, mode=mode, top_k=1, save_scores=path)
            self._carry_out(models, config, path, restart=False)
        except (ResumeError, ScoresError) as error:
            self.bench.workers.say(f"computed again from the start: {error}")
            self._carry_out(models, config, path, restart=True)
        except ConfigError as error:
            raise ConfigError(f"method {method.name!r}: {error}") from error

    def _carry_out(
        self, models: Sequence[Checkpoint], config: RunConfig, path: Path, *, restart: bool
    ) -> InfluenceResult:
        workers = self.bench.workers
        execution = Execution(record_directory=path.with_suffix(".records"), restart=restart)
        return run(self.store, models, self.tests, config=config, client=workers.client, execution=execution)


def _is_complete(path: Path) -> bool:
    try:
        return path.is_dir() and bool(zarr.open_group(path, mode="r").attrs.get("complete"))
    except (ValueError, OSError) as error:
        raise ScoresError(f"{path} is damaged ({error}); {AGAIN}") from error


def blocks(num_rows: int, num_tests: int) -> Iterator[tuple[int, int]]:
    """Cut the rows into parts that fit into memory; none crosses a stratum of random subsets."""
    size = max(1, min(STRATUM_ROWS, BLOCK_BYTES // (8 * max(1, num_tests))))
    for stratum in range(0, num_rows, STRATUM_ROWS):
        end = min(stratum + STRATUM_ROWS, num_rows)
        for start in range(stratum, end, size):
            yield start, min(start + size, end)


def largest(
    influences: Influences, num_rows: int, num_tests: int, top_k: int
) -> tuple[Int[ndarray, "test entry"], Float[ndarray, "test entry"]]:
    """Find the rows of the largest numbers of each test triple, the largest first; of equal ones the lower row."""
    rows = np.empty((num_tests, 0), dtype=np.int64)
    values = np.empty((num_tests, 0))
    for start, stop in blocks(num_rows, num_tests):
        found = influences.read(start, stop)
        values = np.concatenate([values, found], axis=1)
        rows = np.concatenate([rows, np.broadcast_to(np.arange(start, stop), found.shape)], axis=1)
        best = np.argsort(-values, axis=1, kind="stable")[:, :top_k]
        values, rows = np.take_along_axis(values, best, axis=1), np.take_along_axis(rows, best, axis=1)
    return rows, values
