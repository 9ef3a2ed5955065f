"""How influences are computed: in which batches, on which device, in which precision."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from tracin_dask.errors import ConfigError
from tracin_dask.identity import changes
from tracin_dask.influence.precision import PrecisionName
from tracin_dask.runs.options.refusals import refuse_unknown, require_count

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputingOptions:
    """How influences are computed.

    Attributes
    ----------
    batch_size
        Training triples of one tensor call; None chooses by memory.
    device
        `auto`, `cpu` or `cuda`.
    precision
        `float32`, or `float64` with checkpoints that were loaded in float64: of weights, products and sums. The others
        round the operands of big products and sum in float32: `tf32` and `fp16` (GPUs), `bf16` (GPUs, and CPUs with
        bf16 units; others stay at float32), `bf16-emulated` (rounds on any CPU, to see what bf16 does to the results),
        or `mixed` (fp16 on a GPU, bf16 on a CPU).
    gradient_checkpointing
        Compute activations again in the backward pass instead of keeping them: less memory, more time.
    cache_test_gradients
        Compute the gradients of the test triples once for all tasks, instead of in every task.
    audit
        Training triples whose influences are computed once more at the end, by plain automatic differentiation of the
        whole model; a run that deviates fails. None for four, as far as 1 s or 1 % of the time allows; 0 for no audit.
    """

    batch_size: int | None = field(default=None, metadata=changes("scores", through="batch_size"))
    device: Device = field(default="auto", metadata=changes("scores"))
    precision: PrecisionName = field(default="float32", metadata=changes("scores"))
    gradient_checkpointing: bool = field(default=False, metadata=changes("scores"))
    cache_test_gradients: bool = field(default=True, metadata=changes("nothing"))
    audit: int | None = field(default=None, metadata=changes("result"))

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises
        ------
        ConfigError
            Naming the option, its value and what is allowed.
        """
        if self.batch_size is not None:
            require_count("batch_size", self.batch_size)
        if self.audit is not None:
            require_count("audit", self.audit, least=0)
        refuse_unknown("device", self.device, get_args(Device))
        refuse_unknown("precision", self.precision, get_args(PrecisionName))
        if self.precision in {"tf32", "fp16"} and self.device == "cpu":
            raise ConfigError(f"precision {self.precision} is a format of GPUs, and device cpu is asked for")
