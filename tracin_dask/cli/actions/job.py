"""From the options of `run` and `plan` to a checked run."""

import click
from click.core import ParameterSource
from rich.progress import TimeRemainingColumn

from tracin_dask.cli.actions.checkpoints import learning_rates_of, refuse_another_order, say_notes, say_order
from tracin_dask.cli.actions.findings import say_untrained
from tracin_dask.cli.actions.inputs import (
    groupings_of,
    ids_or_labels,
    listed_of,
    read_test_triples,
    read_together,
    store_of,
)
from tracin_dask.cli.actions.losses import loss_of, refuse_other_losses, say_cancelled
from tracin_dask.cli.actions.models import listed_files, load_models
from tracin_dask.cli.actions.stage_progress import stage_progress
from tracin_dask.cli.actions.stated_maps import with_stated_maps
from tracin_dask.cli.actions.training_sources import kind_of
from tracin_dask.cli.options.job import JobFlags
from tracin_dask.cli.options.shape import stated
from tracin_dask.errors import ConfigError
from tracin_dask.influence.precision import working_dtype
from tracin_dask.runs.config import RunConfig, option_groups
from tracin_dask.runs.inputs.learning_rates import read_schedule
from tracin_dask.runs.inputs.resolve import TestTriples
from tracin_dask.runs.options.masking import WALKS
from tracin_dask.runs.prepare import PreparedRun, prepare
from tracin_dask.runs.presets import preset_options
from tracin_dask.triples.integers import refuse_both


def prepared_run(options: JobFlags) -> PreparedRun:
    """Load the checkpoints, open or make the store, read the test triples, and check that all fit together.

    Raises
    ------
    TracInDaskError
        If they do not, or the options contradict each other; the latter before any file is read.
    """
    _refuse_contradictions(options)
    config = _config(options)
    schedule = read_schedule(options["learning_rate_schedule"]) if options["learning_rate_schedule"] else None
    trainings = load_models(options, working_dtype(config.computing.precision))
    checkpoints = tuple(checkpoint for training in trainings for checkpoint in training)
    say_notes(checkpoints)
    options = with_stated_maps(options, checkpoints)
    store = store_of(options)
    if len(config.scoring.learning_rates) > 1:
        refuse_another_order(listed_files(options), checkpoints)
    if schedule is not None:
        config = config.changed(learning_rate=learning_rates_of(schedule, checkpoints))
    config = config.changed(
        loss=loss_of(options, checkpoints),
        group_by=groupings_of(options, store),
        rank_of=listed_of("rank_of", options, store),
        candidates=listed_of("candidates", options, store),
        contrast=ids_or_labels("contrast", options, {"entity": store.entities}),
        only_relations=ids_or_labels("only_relations", options, {"relation": store.relations}),
        exclude_relations=ids_or_labels("exclude_relations", options, {"relation": store.relations}),
    )
    tests: TestTriples | None
    if options["together"]:
        tests, together = read_together(options, store)
        config = config.changed(together=together)
    else:
        tests = read_test_triples(options, store)
    with stage_progress(TimeRemainingColumn()) as progress:
        prepared = prepare(store, trainings, tests, config=config, progress=progress)
    say_order(prepared, is_stated=bool(config.scoring.learning_rates))
    say_cancelled(prepared)
    say_untrained(prepared)
    return prepared


def _refuse_contradictions(options: JobFlags) -> None:
    """Refuse options that contradict each other, or that would do nothing."""
    refuse_both(labels=options["labels"], ids=options["ids"])
    is_asked = bool(options["test_triple"] or options["test"])
    if options["test_triple"] and options["test"]:
        raise ConfigError("--test-triple and --test both say what to explain; give only one of them")
    if options["mode"] == "test" and not is_asked:
        raise ConfigError("say what to explain: --test-triple H R T, --test FILE, or --mode self")
    if options["mode"] == "self" and is_asked:
        raise ConfigError("--mode self is about the training triples alone; leave --test-triple and --test out")
    if options["together"] and not options["test"]:
        raise ConfigError("--together explains the test triples of a file in one answer; give --test FILE, too")
    if options["learning_rate"] and options["learning_rate_schedule"]:
        raise ConfigError(
            "--learning-rate and --learning-rate-schedule both give learning rates; give only one of them"
        )
    if options["num_last_layers"] is not None and not options["use_last_layers_only"]:
        raise ConfigError("--num-last-layers counts only with --use-last-layers-only; give both or none")
    if options["use_mixed_precision"] and options["precision"] != "float32":
        raise ConfigError("--precision and --use-mixed-precision both choose the precision; give only one of them")
    _refuse_masks(options)
    refuse_other_losses(options)
    refuse_options_of_text(options)


def refuse_options_of_text(options: JobFlags) -> None:
    """Refuse what says how a text is read where no text is."""
    files = [options["test"], options["rank_of"], options["candidates"]]
    has_files = any(files) or any(not isinstance(by, str) for by in options["group_by"])
    kind = kind_of(options["train"])
    of_text = ("entity_names", "edge_map", *(() if has_files else ("skip_invalid",)))
    given = [f"--{name.replace('_', '-')}" for name in of_text if options.get(name)]
    if not options["test"]:
        given += stated(options)
    if given and kind == "store":
        raise ConfigError(
            f"{', '.join(given)}: only for a text file, but {options['train']} is a store already; "
            "give such options to `tracin-dask ingest`"
        )
    if kind == "pykeen" and not options["test"] and stated(options):
        raise ConfigError(f"{', '.join(stated(options))}: only for a text file; {options['train']} is none")
    if "--skip-invalid" in given and kind == "pykeen":
        raise ConfigError(f"--skip-invalid: {options['train']} has no lines that could be skipped; leave it out")


def _refuse_masks(options: JobFlags) -> None:
    """Refuse masks that contradict each other, or that self-influence has no test triples for."""
    if options["only_relations"] and options["exclude_relations"]:
        raise ConfigError("--only-relations and --exclude-relations both choose relations; give only one of them")
    compares = [name for name in ("touching", "exclude_self", "within_hops", "on_paths") if options.get(name)]
    if options["mode"] == "self" and compares:
        given, is_one = " and ".join(f"--{name.replace('_', '-')}" for name in compares), len(compares) == 1
        raise ConfigError(
            f"{given} compare{'s' * is_one} with test triples, and --mode self has none; "
            f"leave {'it' if is_one else 'them'} out"
        )
    rules = [f"--{name.replace('_', '-')}" for name in WALKS[2:] if options.get(name)]
    if rules and not (options["within_hops"] or options["on_paths"]):
        raise ConfigError(f"{' and '.join(rules)} counts only with --within-hops or --on-paths; give one of these, too")
    if options["all_walks"] and not options["on_paths"]:
        raise ConfigError("--all-walks counts only with --on-paths; give it, too")


def _last_layers(options: JobFlags) -> int | None:
    if not options["use_last_layers_only"]:
        return None
    return 2 if options["num_last_layers"] is None else options["num_last_layers"]


def _config(options: JobFlags) -> RunConfig:
    """Take all options of a run that bear the names of its configuration, and the few that do not."""
    given = {name: value for name, value in options.items() if name in option_groups()}
    given |= {
        "loss": loss_of(options),
        "contrast": (),
        "group_by": (),
        "rank_of": None,
        "candidates": None,
        "only_relations": (),
        "exclude_relations": (),
        "last_layers": _last_layers(options),
        "learning_rate": options["learning_rate"] or None,
        "precision": "mixed" if options["use_mixed_precision"] else options["precision"],
        "gradient_checkpointing": options["use_gradient_checkpointing"],
    }
    by_preset = preset_options(options["preset"])
    return RunConfig.of(**{name: value for name, value in given.items() if name not in by_preset or _is_stated(name)})


def _is_stated(name: str) -> bool:
    """Tell whether the user gave an option of the running command."""
    return click.get_current_context().get_parameter_source(name) != ParameterSource.DEFAULT
