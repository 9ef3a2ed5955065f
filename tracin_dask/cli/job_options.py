"""The options that `run` and `plan` share, and how they become a checked run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from tracin_dask.cli.checkpoints import learning_rates_of, refuse_another_order, say_order
from tracin_dask.cli.inputs import InputOptions, groupings_of, read_test_triples, store_of
from tracin_dask.cli.loss_options import (
    LOSS_OPTIONS,
    LossOptions,
    contrast_of,
    loss_of,
    refuse_other_losses,
    say_cancelled,
)
from tracin_dask.cli.model_options import MODEL_OPTIONS, ModelOptions, listed_files, load_models
from tracin_dask.cli.terminal import ByteSize
from tracin_dask.cli.values import FILE, BatchSize, GroupBy
from tracin_dask.errors import ConfigError
from tracin_dask.influence.precision import PrecisionName, working_dtype
from tracin_dask.influence.reductions.topk import RankBy
from tracin_dask.runs.config import Device, Mode, RunConfig
from tracin_dask.runs.learning_rates import read_schedule
from tracin_dask.runs.prepare import PreparedRun, prepare

ANY_PATH = click.Path(path_type=Path)
Function = TypeVar("Function", bound=Callable[..., Any])


class JobOptions(InputOptions, ModelOptions, LossOptions):
    """The shared options, by name."""

    mode: Mode
    learning_rate: tuple[float, ...]
    learning_rate_schedule: Path | None
    checkpoint_contributions: bool
    save_scores: Path | None
    top_k: int
    rank_by: RankBy
    parameters: tuple[str, ...]
    use_last_layers_only: bool
    num_last_layers: int | None
    batch_size: int | None
    device: Device
    precision: PrecisionName
    use_mixed_precision: bool
    use_gradient_checkpointing: bool
    cache_test_gradients: bool
    workers: int | None
    threads_per_worker: int | None
    memory_per_worker: int | None


_OPTIONS = (
    *MODEL_OPTIONS,
    click.option(
        "--train",
        type=click.Path(exists=True, path_type=Path),
        required=True,
        help="Training triples: a store made by `ingest` (.zarr), or a text file, which is ingested first and cached.",
    ),
    click.option("--entity-to-id", type=FILE, help="Lines of `entity label TAB id`, as in training."),
    click.option("--relation-to-id", type=FILE, help="Lines of `relation label TAB id`, as in training."),
    click.option(
        "--test-triple",
        nargs=3,
        multiple=True,
        metavar="H R T",
        help="A test triple, as ids or as labels; may be repeated.",
    ),
    click.option("--test", type=FILE, help="Many test triples, one per line; ids or labels, tabs or spaces."),
    click.option(
        "--mode",
        type=click.Choice(["test", "self"]),
        default="test",
        show_default=True,
        help="Explain test triples, or find training triples of large self-influence.",
    ),
    click.option("--labels", is_flag=True, help="Bare integers in triples are labels, not ids."),
    click.option(
        "--skip-invalid",
        is_flag=True,
        help="Skip and count unusable lines of a text file of triples, and of a file of groups.",
    ),
    click.option("--entity-names", type=FILE, help="Lines of `readable name TAB entity id`; with a text file."),
    click.option("--edge-map", type=FILE, help="JSON of readable relations; with a text file."),
    click.option(
        "--cache-dir", type=ANY_PATH, help="Where stores of text files are kept. [default: ~/.cache/tracin-dask]"
    ),
    click.option(
        "--learning-rate",
        type=float,
        multiple=True,
        metavar="FLOAT...",
        help="Factor of every influence; of several checkpoints, one for all or one each. [default: each checkpoint's "
        "own, or 0.001]",
    ),
    click.option(
        "--learning-rate-schedule",
        type=FILE,
        help="Lines of `epoch TAB learning rate`, epochs counted from 0 as in checkpoints, or `checkpoint's file name "
        "TAB learning rate`.",
    ),
    click.option(
        "--checkpoint-contributions",
        is_flag=True,
        help="State what each checkpoint adds to every influence that is reported.",
    ),
    click.option(
        "--group-by",
        type=GroupBy(),
        multiple=True,
        metavar="relation|head|tail|FILE",
        help="Add up the positive and the negative influences of all training triples of a relation, head or tail, or "
        "of a group of your own: lines of `head TAB relation TAB tail TAB group`, .gz or not. May be repeated.",
    ),
    click.option(
        "--save-scores",
        type=ANY_PATH,
        metavar="PATH.zarr",
        help="Write all influences, not only the best, as a Zarr array [test, train] in the order of the store's rows. "
        "Workers write it: all of them must see the path.",
    ),
    *LOSS_OPTIONS,
    click.option("--top-k", default=10, show_default=True, help="Training triples reported per test triple."),
    click.option(
        "--rank-by",
        type=click.Choice(["absolute", "proponents", "opponents"]),
        default="absolute",
        show_default=True,
        help="Order by |influence|, or report one side only.",
    ),
    click.option(
        "--parameters",
        multiple=True,
        metavar="PATTERN...",
        help="Track only the parameter tensors that match, e.g. 'fc.*' 'bn2.*'. [default: all]",
    ),
    click.option("--use-last-layers-only", is_flag=True, help="Track fc.* and the tensors before it, no embeddings."),
    click.option("--num-last-layers", type=int, help="How many tensors that is, fc.* included. [default: 2]"),
    click.option(
        "--batch-size", type=BatchSize(), default="auto", show_default=True, help="Training triples per tensor call."
    ),
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where to compute; auto takes a GPU if there is one.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["float64", "float32", "tf32", "bf16", "bf16-emulated", "fp16"]),
        default="float32",
        show_default=True,
        help="float64, float32: of weights, products and sums. The others round the inputs of big products and sum in "
        "float32: tf32 and fp16 on GPUs; bf16 also on CPUs with bf16 units, or stays at float32; bf16-emulated shows "
        "on a CPU what bf16 would do to the results.",
    ),
    click.option(
        "--use-mixed-precision", is_flag=True, help="--precision fp16 on a GPU, bf16 on a CPU that has bf16 units."
    ),
    click.option("--use-gradient-checkpointing", is_flag=True, help="Less memory, more time: recompute activations."),
    click.option(
        "--cache-test-gradients/--no-cache-test-gradients",
        default=True,
        show_default=True,
        help="Compute the test triples' gradients once, or again for every task.",
    ),
    click.option("--workers", type=click.IntRange(min=1), help="Worker processes. [default: by the CPUs]"),
    click.option(
        "--threads-per-worker", type=click.IntRange(min=1), help="CPU threads of each. [default: CPUs / workers]"
    ),
    click.option("--memory-per-worker", type=ByteSize(), help="Memory of each, e.g. 4GiB. [default: 80 % / workers]"),
)


def job_options(function: Function) -> Function:
    """Add the shared options to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def prepared_run(options: JobOptions) -> PreparedRun:
    """Open or make the store, load the checkpoints, read the test triples, and check that all fit together.

    Raises
    ------
    TracInDaskError
        If they do not, or the options contradict each other; the latter before any file is read.
    """
    _refuse_contradictions(options)
    config = _config(options)
    schedule = read_schedule(options["learning_rate_schedule"]) if options["learning_rate_schedule"] else None
    store = store_of(options)
    checkpoints = load_models(options, working_dtype(config.precision))
    if len(config.learning_rates) > 1:
        refuse_another_order(listed_files(options), checkpoints)
    if schedule is not None:
        config = replace(config, learning_rate=learning_rates_of(schedule, checkpoints))
    config = replace(config, loss=loss_of(options, checkpoints), group_by=groupings_of(options, store))
    prepared = prepare(store, checkpoints, read_test_triples(options, store), config=config)
    say_order(prepared, is_stated=bool(config.learning_rates))
    say_cancelled(prepared)
    return prepared


def _refuse_contradictions(options: JobOptions) -> None:
    """Refuse options that contradict each other, or that would do nothing."""
    is_asked = bool(options["test_triple"] or options["test"])
    if options["test_triple"] and options["test"]:
        raise ConfigError("--test-triple and --test both say what to explain; give only one of them")
    if options["mode"] == "test" and not is_asked:
        raise ConfigError("say what to explain: --test-triple H R T, --test FILE, or --mode self")
    if options["mode"] == "self" and is_asked:
        raise ConfigError("--mode self is about the training triples alone; leave --test-triple and --test out")
    if options["learning_rate"] and options["learning_rate_schedule"]:
        raise ConfigError(
            "--learning-rate and --learning-rate-schedule both give learning rates; give only one of them"
        )
    if options["num_last_layers"] is not None and not options["use_last_layers_only"]:
        raise ConfigError("--num-last-layers counts only with --use-last-layers-only; give both or none")
    if options["use_mixed_precision"] and options["precision"] != "float32":
        raise ConfigError("--precision and --use-mixed-precision both choose the precision; give only one of them")
    refuse_other_losses(options)
    has_files_of_groups = any(isinstance(by, Path) for by in options["group_by"])
    of_text = ("entity_names", "edge_map", *(() if has_files_of_groups else ("skip_invalid",)))
    given = [f"--{name.replace('_', '-')}" for name in of_text if options.get(name)]
    if given and options["train"].is_dir():
        raise ConfigError(
            f"{', '.join(given)}: only for a text file, but {options['train']} is a store already; "
            "give such options to `tracin-dask ingest`"
        )


def _last_layers(options: JobOptions) -> int | None:
    if not options["use_last_layers_only"]:
        return None
    return 2 if options["num_last_layers"] is None else options["num_last_layers"]


def _config(options: JobOptions) -> RunConfig:
    return RunConfig(
        mode=options["mode"],
        loss=loss_of(options),
        explain=options["explain"],
        contrast=contrast_of(options),
        normalize=options["normalize"],
        preconditioner=options["preconditioner"],
        parameters=options["parameters"],
        last_layers=_last_layers(options),
        learning_rate=options["learning_rate"] or None,
        top_k=options["top_k"],
        rank_by=options["rank_by"],
        checkpoint_contributions=options["checkpoint_contributions"],
        save_scores=options["save_scores"],
        batch_size=options["batch_size"],
        device=options["device"],
        precision="mixed" if options["use_mixed_precision"] else options["precision"],
        gradient_checkpointing=options["use_gradient_checkpointing"],
        cache_test_gradients=options["cache_test_gradients"],
    )
