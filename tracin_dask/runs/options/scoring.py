"""The influences: of which loss, over which parameter tensors, by which steps, and divided by which norms."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from tracin_dask.errors import ConfigError
from tracin_dask.identity import changes
from tracin_dask.influence.losses import AnyLoss, BinaryCrossEntropy, loss_identity
from tracin_dask.influence.normalised import Normalize
from tracin_dask.influence.parameters import (
    entity_tables,
    matching,
    refuse_other_than_tables,
    without_cancelled,
)
from tracin_dask.influence.preconditioners.base import PreconditionerMethod
from tracin_dask.influence.preconditioners.registry import NONE, method_of, name_of
from tracin_dask.influence.preconditioners.rows import DAMPING, InverseFisherRows
from tracin_dask.models.config import ModelConfig
from tracin_dask.runs.options.refusals import refuse_single, refuse_unknown, require_count, require_positive
from tracin_dask.runs.presets import PLAIN, preset_options
from tracin_dask.seed import check_seed

Curvature = Literal["none", "rows", "landmarks"]
LANDMARKS = 1000
"""Training triples that the whole curvature is found through, unless another number is stated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringOptions:
    """What an influence is.

    Attributes
    ----------
    loss
        `BinaryCrossEntropy()` of the triple's own score, or a loss of your own of that score; or `OneToAll(...)`, of
        the scores of all entities as the tail; or `SLCWA(...)`, of the scores of the triple and of corrupted ones.
    parameters
        Shell-style patterns of the parameter tensors that count; empty means all, or with a preconditioner all but
        the model's `config.cancelled_parameters`, whose gradients are 0 in training.
    last_layers
        Track fc.* and this many tensors in all, counted backwards from fc; None for no such limit.
    preconditioner
        `adam`: P in ⟨∇i, P ∇j⟩ is that of the Adam that trained the model, from the checkpoint's optimiser state: see
        `tracin_dask.models.checkpoints.adam`. `none`: plain gradient descent.
    curvature
        `rows`: P is the damped inverse Fisher matrix of each row of the tracked tables, by default of the entities'
        ones: see `tracin_dask.influence.preconditioners.rows`. `landmarks`: that of all tracked tensors together,
        through some training triples: see `tracin_dask.influence.landmarks`. `none`: no curvature.
    damping
        μ of the curvature, in units of the mean training triple's part of its trace; None takes `DAMPING`.
    landmarks, landmarks_near, landmarks_seed
        How many landmarks there are; whether training triples that touch the test triples come first; and the seed by
        which they are drawn. None takes `LANDMARKS`.
    normalize
        `cosine`: divide influences by the norms of both gradients. `relatif`: by that of the training triple's only,
        so that triples with long gradients do not lead every list. Influences are ranked after that.
    learning_rate
        Factor of every influence; of several checkpoints, one for all or one for each in their order. None takes each
        checkpoint's own, or else 0.001.
    preset
        The preset that the options come from, stated in the result: see `tracin_dask.runs.presets`.
    """

    loss: AnyLoss = field(default_factory=BinaryCrossEntropy, metadata=changes("scores", by=loss_identity))
    parameters: tuple[str, ...] = field(default=(), metadata=changes("scores", through="parameters"))
    last_layers: int | None = field(default=None, metadata=changes("scores", through="parameters"))
    preconditioner: str | PreconditionerMethod = field(default=NONE, metadata=changes("scores"))
    curvature: Curvature = field(default="none", metadata=changes("scores", through="curvature"))
    damping: float | None = field(default=None, metadata=changes("scores", through="curvature"))
    landmarks: int | None = field(default=None, metadata=changes("scores", through="curvature"))
    landmarks_near: bool = field(default=False, metadata=changes("scores", through="curvature"))
    landmarks_seed: int = field(default=0, metadata=changes("scores", through="curvature"))
    normalize: Normalize = field(default="none", metadata=changes("scores"))
    learning_rate: float | tuple[float, ...] | None = field(
        default=None, metadata=changes("scores", through="learning_rate")
    )

    preset: str = field(default=PLAIN, metadata=changes("nothing"))

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises
        ------
        ConfigError
            Naming the option, its value and what is allowed.
        """
        preset_options(self.preset)
        refuse_single(parameters=self.parameters)
        if not hasattr(self.loss, "name"):
            raise ConfigError(
                f"loss is {self.loss!r}; give a loss such as BinaryCrossEntropy() or OneToAll(), or one of your own"
            )
        for rate in self.learning_rates:
            require_positive("learning_rate", rate)
        refuse_unknown("normalize", self.normalize, get_args(Normalize))
        method_of(self.preconditioner)
        refuse_unknown("curvature", self.curvature, get_args(Curvature))
        self._check_curvature()
        if self.parameters and self.last_layers is not None:
            raise ConfigError("parameters and last_layers both choose the tracked tensors; give only one of them")

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """The stated learning rates; none if the checkpoints' own count."""
        if self.learning_rate is None:
            return ()
        return self.learning_rate if isinstance(self.learning_rate, tuple) else (self.learning_rate,)

    @property
    def method(self) -> PreconditionerMethod | None:
        """What finds the preconditioner; None for plain gradient descent."""
        if self.curvature == "rows":
            return InverseFisherRows(damping=self.settled_damping)
        return method_of(self.preconditioner)

    @property
    def settled_damping(self) -> float:
        """The damping of the curvature, stated or not."""
        return DAMPING if self.damping is None else self.damping

    @property
    def settled_landmarks(self) -> int:
        """The number of landmarks, stated or not."""
        return LANDMARKS if self.landmarks is None else self.landmarks

    def _check_landmarks(self) -> None:
        stated = self.landmarks is not None or self.landmarks_near or self.landmarks_seed
        if self.curvature != "landmarks" and stated:
            raise ConfigError("landmarks are those of the curvature of this name; give curvature landmarks, too")
        if self.landmarks is not None:
            require_count("landmarks", self.landmarks)
        check_seed("landmarks_seed", self.landmarks_seed)
        if self.curvature == "landmarks" and self.normalize != "none":
            raise ConfigError(
                f"normalize {self.normalize} divides by norms of all training triples, which landmarks do not give; "
                "leave normalize out, or take curvature rows"
            )

    def _check_curvature(self) -> None:
        self._check_landmarks()
        if self.curvature != "none" and self.preconditioner != NONE:
            raise ConfigError(
                f"curvature {self.curvature} and preconditioner {name_of(self.preconditioner)} would both stand "
                "between the gradients; give only one of them"
            )
        if self.curvature == "none" and self.damping is not None:
            raise ConfigError(f"damping {self.damping} is that of a curvature; give a curvature, or leave it out")
        if self.curvature == "rows" and self.last_layers is not None:
            raise ConfigError(
                "the curvature by rows is about tables of embeddings, which are never among the last layers; "
                "leave last_layers out"
            )
        require_positive("damping", self.settled_damping)

    def tracked(self, model: ModelConfig) -> frozenset[str]:
        """Name the parameter tensors of this model whose gradients count.

        Raises
        ------
        ConfigError
            If a pattern matches none of them.
        """
        if self.last_layers is not None:
            return model.last_layers(self.last_layers)
        if self.curvature == "rows":
            tracked = matching(model, self.parameters) if self.parameters else entity_tables(model)
            refuse_other_than_tables(model, tracked)
            return tracked
        if self.method is not None and self.method.skips_cancelled and not self.parameters:
            return without_cancelled(model)
        return matching(model, self.parameters or ("*",))
