"""What a run is asked to do, as frozen values; parsed at the border, trusted inside."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from tracin_dask.errors import ConfigError
from tracin_dask.influence.columns import Explain
from tracin_dask.influence.losses import AnyLoss, BinaryCrossEntropy
from tracin_dask.influence.normalised import Normalize
from tracin_dask.influence.parameters import matching, without_cancelled
from tracin_dask.influence.precision import PrecisionName
from tracin_dask.influence.preconditioners.diagonal import Preconditioning
from tracin_dask.influence.reductions.topk import RankBy
from tracin_dask.models.config import ModelConfig
from tracin_dask.places.place import PathOrUrl
from tracin_dask.places.registry import place_of
from tracin_dask.runs.groupings import PARTS, Part
from tracin_dask.triples.groups import GroupStore

Mode = Literal["test", "self"]
Device = Literal["auto", "cpu", "cuda"]
DEFAULT_LEARNING_RATE = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Options of a run that are about the scores; where it runs is in `Execution`.

    Attributes
    ----------
    mode
        `test`: influences on test triples. `self`: each training triple's influence on itself.
    loss
        `BinaryCrossEntropy()` of the triple's own score, or a loss of your own of that score; or `OneToAll(...)`, of
        the scores of all entities as the tail; or `SLCWA(...)`, of the scores of the triple and of corrupted ones.
    parameters
        Shell-style patterns of the parameter tensors that count; empty means all, or with a preconditioner all but
        the model's `config.cancelled_parameters`, whose gradients are 0 in training.
    last_layers
        Track fc.* and this many tensors in all, counted backwards from fc; None for no such limit.
    explain
        `loss`: influences on the test triples' losses. `score`: on their scores, with the same sign (a positive one is
        for the prediction).
    contrast
        Other tails, ids or labels, one for each test triple or one for all: influences are on the loss (or score) of
        the test triple less that of the triple with the other tail.
    normalize
        `cosine`: divide influences by the norms of both gradients. `relatif`: by that of the training triple's only,
        so that triples with long gradients do not lead every list. Influences are ranked after that.
    preconditioner
        `adam`: P in ⟨∇i, P ∇j⟩ is that of the Adam that trained the model, from the checkpoint's optimiser state: see
        `tracin_dask.models.checkpoints.adam`. `none`: plain gradient descent.
    learning_rate
        Factor of every influence; of several checkpoints, one for all or one for each in their order. None takes each
        checkpoint's own, or else 0.001.
    top_k
        Entries reported per test triple.
    checkpoint_contributions
        State what each checkpoint adds to every influence that is reported.
    group_by
        `relation`, `head`, `tail`, or groups of a file (`ingest_groups`): sum the positive and the negative influences
        of every group, over all training triples.
    save_scores
        Where all influences are written, too, not only the best: a Zarr array [test, train]. Workers must see the path.
    batch_size
        Training triples of one tensor call; None chooses by memory.
    device
        `auto`, `cpu` or `cuda`.
    precision
        `float32`, or `float64` with checkpoints that were loaded in float64: of weights, products and sums. The others
        round the operands of big products and sum in float32: `tf32` and `fp16` (GPUs), `bf16` (GPUs, and CPUs with
        bf16 units; others stay at float32), `bf16-emulated` (rounds on any CPU, to see what bf16 does to the results),
        or `mixed` (fp16 on a GPU, bf16 on a CPU).
    """

    mode: Mode = "test"
    loss: AnyLoss = field(default_factory=BinaryCrossEntropy)
    explain: Explain = "loss"
    contrast: tuple[int | str, ...] = ()
    normalize: Normalize = "none"
    preconditioner: Preconditioning = "none"
    parameters: tuple[str, ...] = ()
    last_layers: int | None = None
    learning_rate: float | tuple[float, ...] | None = None
    top_k: int = 10
    rank_by: RankBy = "absolute"
    checkpoint_contributions: bool = False
    group_by: tuple[Part | GroupStore, ...] = ()
    save_scores: PathOrUrl | None = None
    batch_size: int | None = None
    device: Device = "auto"
    precision: PrecisionName = "float32"
    gradient_checkpointing: bool = False
    cache_test_gradients: bool = True

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises
        ------
        ConfigError
            Naming the option, its value and what is allowed.
        """
        if self.top_k < 1:
            raise ConfigError(f"top_k must be at least 1, not {self.top_k}")
        if self.batch_size is not None and self.batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, not {self.batch_size}")
        _refuse_groupings(self.group_by)
        if self.save_scores is not None:
            place_of(self.save_scores)
        for rate in self.learning_rates:
            if not 0 < rate < float("inf"):
                raise ConfigError(f"learning_rate must be a positive number, not {rate}")
        _refuse_unknown("normalize", self.normalize, get_args(Normalize))
        _refuse_unknown("preconditioner", self.preconditioner, get_args(Preconditioning))
        if self.normalize != "none" and self.mode == "self":
            raise ConfigError(
                f"normalize {self.normalize} is for influences on test triples: in mode 'self' a triple meets itself "
                "only, and its cosine with itself is 1; leave normalize out"
            )
        if self.precision in {"fp16", "mixed"} and self.preconditioner != "none":
            taken = "fp16" if self.precision == "fp16" else "mixed takes fp16 on a GPU, which"
            raise ConfigError(
                f"precision {taken} holds no number above 65,504, and Adam's 1 / (√v̂ + ε) is larger; take bf16 or tf32"
            )
        if self.precision in {"tf32", "fp16"} and self.device == "cpu":
            raise ConfigError(f"precision {self.precision} is a format of GPUs, and device cpu is asked for")
        if self.parameters and self.last_layers is not None:
            raise ConfigError("parameters and last_layers both choose the tracked tensors; give only one of them")

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """The stated learning rates; none if the checkpoints' own count."""
        if self.learning_rate is None:
            return ()
        return self.learning_rate if isinstance(self.learning_rate, tuple) else (self.learning_rate,)

    def tracked(self, model: ModelConfig) -> frozenset[str]:
        """Name the parameter tensors of this model whose gradients count.

        Raises
        ------
        ConfigError
            If a pattern matches none of them.
        """
        if self.last_layers is not None:
            return model.last_layers(self.last_layers)
        if self.preconditioner != "none" and not self.parameters:
            return without_cancelled(model)
        return matching(model, self.parameters or ("*",))


def _refuse_groupings(group_by: tuple[Part | GroupStore, ...]) -> None:
    if not isinstance(group_by, tuple):
        raise ConfigError(f"group_by is a tuple, of one grouping, too: ({group_by!r},)")
    for by in group_by:
        if not isinstance(by, GroupStore) and by not in PARTS:
            raise ConfigError(f"group_by takes head, relation, tail and what ingest_groups gives, not {by!r}")
    identities = [by.info.fingerprint if isinstance(by, GroupStore) else by for by in group_by]
    if len(set(identities)) < len(identities):
        raise ConfigError("group_by names the same groups twice; name them once")
    names = [by.info.source.name if isinstance(by, GroupStore) else by for by in group_by]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"group_by has groupings of one name ({', '.join(names)}), by which results tell them apart; rename a file"
        )


def _refuse_unknown(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} must be {', '.join(known[:-1])} or {known[-1]}, not {value!r}")
