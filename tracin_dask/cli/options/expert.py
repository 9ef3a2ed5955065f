"""The options that most runs leave alone: batches, precision, and how gradients are computed."""

from typing import TYPE_CHECKING, TypedDict

import click

from tracin_dask.cli.options.numbers import WholeNumber
from tracin_dask.cli.options.sections import option_of
from tracin_dask.cli.options.values import AuditSize, BatchSize

if TYPE_CHECKING:
    from tracin_dask.influence.precision import PrecisionName

option = option_of("Expert")


class ExpertFlags(TypedDict):
    """The values of these options, by name."""

    batch_size: int | None
    precision: "PrecisionName"
    use_mixed_precision: bool
    use_gradient_checkpointing: bool
    cache_test_gradients: bool
    audit: int | None
    use_last_layers_only: bool
    num_last_layers: int | None


EXPERT_OPTIONS = (
    option(
        "--batch-size", type=BatchSize(), default="auto", show_default=True, help="Training triples per tensor call."
    ),
    option(
        "--precision",
        type=click.Choice(["float64", "float32", "tf32", "bf16", "bf16-emulated", "fp16"]),
        default="float32",
        show_default=True,
        help="float64, float32: of weights, products and sums. The others round the inputs of big products and sum in "
        "float32: tf32 and fp16 on GPUs; bf16 also on CPUs with bf16 units, other CPUs stay at float32; bf16-emulated "
        "shows on any CPU what bf16 would do to the results.",
    ),
    option("--use-mixed-precision", is_flag=True, help="--precision fp16 on a GPU, bf16 on a CPU with bf16 units."),
    option("--use-gradient-checkpointing", is_flag=True, help="Less memory, more time: recompute activations."),
    option(
        "--cache-test-gradients/--no-cache-test-gradients",
        default=True,
        show_default=True,
        help="Compute the gradients of the test triples once, or again for every task.",
    ),
    option(
        "--audit",
        type=AuditSize(),
        default="auto",
        show_default=True,
        help="At the end, compute the influences of so many training triples once more by plain automatic "
        "differentiation; a run that deviates fails. auto: 4, or as many as 1 s or 1 % of the time allows.",
    ),
    option("--use-last-layers-only", is_flag=True, help="Track fc.* and the tensors before it, without embeddings."),
    option(
        "--num-last-layers",
        type=WholeNumber(),
        help="Number of tensors for --use-last-layers-only, with fc.*. [default: 2]",
    ),
)
