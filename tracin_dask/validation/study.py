"""What every study is given: the graph, the folder, the workers, the training, the methods and the base seed."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.identity import Json, digest_of
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.training.settings import TrainingConfig
from tracin_dask.validation.folder import StudyFolder
from tracin_dask.validation.graph import StudyGraph
from tracin_dask.validation.methods import Method
from tracin_dask.validation.models import Bench, spread_epochs
from tracin_dask.validation.trainings import Material
from tracin_dask.validation.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Study:
    """The setting of a study.

    Attributes
    ----------
    settings
        Of every training; its seed is replaced by one that follows from `seed`.
    seed
        The base seed: test triples, subsets, trainings and baselines follow from it.
    checkpoint_epochs
        After which epochs models are kept for influences; empty for four, the first and the last among them.
    """

    graph: StudyGraph
    folder: StudyFolder
    workers: Workers
    model: ConvEConfig
    settings: TrainingConfig
    methods: tuple[Method, ...]
    seed: int = 0
    checkpoint_epochs: tuple[int, ...] = ()

    def claim(self, kind: str, **plan: Json) -> None:
        """State the study in its folder; raises as `StudyFolder.claim`.

        Methods are no part of it: the trainings of a study serve any of them. They are checked before anything is
        trained.
        """
        self._refuse_methods()
        self.folder.claim({"study": kind, "base seed": self.seed, **plan, **self._inputs()})

    def bench(self, tests: Int[ndarray, "test 3"], extra: Int[ndarray, "extra 3"] | None = None) -> Bench:
        """Give what trains models and measures them on test triples; `extra` rows come after the graph's."""
        triples = self.graph.triples
        material = Material(
            triples=triples if extra is None else np.concatenate([triples, extra.astype(triples.dtype)]),
            tests=tests,
            known=self.graph.known,
            model=self.model,
            settings=self.settings,
            id_maps_sha256=self.graph.store.info.id_maps_sha256,
        )
        return Bench(material=material, folder=self.folder, workers=self.workers)

    @property
    def num_explained(self) -> int:
        """Count the trainings on the whole graph that the methods need."""
        return max((method.trainings for method in self.methods), default=1)

    def about(self) -> Mapping[str, Json]:
        """State the methods and the seed, for a summary."""
        return {
            "seed": self.seed,
            "methods": {method.name: [method.identity, method.trainings] for method in self.methods},
        }

    def _refuse_methods(self) -> None:
        """Refuse methods that these models cannot have.

        Raises
        ------
        ConfigError
            Naming the method.
        """
        kept = self.checkpoint_epochs or spread_epochs(self.settings.num_epochs)
        for method in self.methods:
            if not method.is_run:
                continue
            method.epochs(kept)
            try:
                method.config(self.settings.label_smoothing).scoring.tracked(self.model)
            except ConfigError as error:
                raise ConfigError(f"method {method.name!r}: {error}") from error

    def _inputs(self) -> Mapping[str, Json]:
        return {
            "training triples": self.graph.store.info.fingerprint,
            "test triples": digest_of(self.graph.test),
            "validation triples": digest_of(self.graph.valid),
        }
