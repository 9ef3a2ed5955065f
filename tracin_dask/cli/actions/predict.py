"""Carries out `tracin-dask predict`: scores and ranks given triples, or lists the best tails and heads."""

from functools import partial
from typing import Any, cast

import numpy as np
import pyarrow as pa

from tracin_dask import __version__
from tracin_dask.cli.actions.asked_ends import among_of, asked_ends, asked_words
from tracin_dask.cli.actions.checkpoints import say_notes
from tracin_dask.cli.actions.findings import say_untrained
from tracin_dask.cli.actions.inputs import read_test_triples, store_of
from tracin_dask.cli.actions.job import refuse_options_of_text
from tracin_dask.cli.actions.models import load_models
from tracin_dask.cli.actions.stated_maps import with_stated_maps
from tracin_dask.cli.options.job import JobFlags
from tracin_dask.cli.predict import PredictFlags
from tracin_dask.cli.say import say
from tracin_dask.cli.terminal import show
from tracin_dask.errors import ConfigError
from tracin_dask.influence.precision import working_dtype
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.places.explained import writing
from tracin_dask.report.labels import Labels
from tracin_dask.report.predicted_tables import best_table, scored_table, screen_table
from tracin_dask.report.table_file import write_table
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.predictions.best import BestEnds, best_ends
from tracin_dask.runs.predictions.here import score_here
from tracin_dask.runs.predictions.made import predictions_of, scores_are_logits, sigmoid
from tracin_dask.runs.prepare import PreparedRun, prepare
from tracin_dask.runs.result import labels_of
from tracin_dask.triples.integers import refuse_both
from tracin_dask.triples.store import TripleStore


def predict(options: PredictFlags) -> None:
    """Print the tables, and write them.

    Raises
    ------
    TracInDaskError
        If options do not go together, a file cannot be used, or the model cannot score heads.
    """
    given = cast("JobFlags", {**options, "group_by": (), "rank_of": None, "ensemble": False})
    _refuse_contradictions(options, given)
    _check_output(options)
    checkpoints = load_models(given, working_dtype(options["precision"]))[0]
    say_notes(checkpoints)
    if len(checkpoints) > 1:
        say(f"the last of {len(checkpoints)} checkpoints predicts: {checkpoints[-1].path}", err=True)
    given = with_stated_maps(given, checkpoints)
    store = store_of(given)
    if _has_triples(options):
        table, about = _scored(store, checkpoints[-1], given, options)
    else:
        table, about = _best(store, checkpoints[-1], given, options)
    _write(table, about, options)


def _refuse_contradictions(options: PredictFlags, given: JobFlags) -> None:
    """Refuse options that contradict each other, or that would do nothing, before any file is read."""
    refuse_both(labels=options["labels"], ids=options["ids"])
    asks_ends = bool(options["tails_of"] or options["heads_of"])
    if options["test_triple"] and options["test"]:
        raise ConfigError("--test-triple and --test both name triples; give only one of them")
    if asks_ends and _has_triples(options):
        raise ConfigError("--tails-of and --heads-of list new triples, and --test scores given ones; ask one at a time")
    if not asks_ends and not _has_triples(options):
        raise ConfigError("say what to predict: --test FILE, --test-triple H R T, --tails-of H R, or --heads-of R T")
    of_ends = {"--candidates-type": options["candidates_type"], "--candidates": options["candidates"]}
    unused = [name for name, value in of_ends.items() if value] + (["--keep-known"] if options["keep_known"] else [])
    if unused and not asks_ends:
        raise ConfigError(f"{', '.join(unused)}: only with --tails-of or --heads-of; leave it out")
    refuse_options_of_text(given)


def _has_triples(options: PredictFlags) -> bool:
    return bool(options["test_triple"] or options["test"])


def _check_output(options: PredictFlags) -> None:
    target = options["output"]
    if target is not None:
        with writing(target, "the table"):
            target.parent.make_folder()
            target.check_writable()


def _config(options: PredictFlags, **more: Any) -> RunConfig:  # noqa: ANN401 - values of options
    return RunConfig.of(device=options["device"], precision=options["precision"], **more)


def _scored(
    store: TripleStore, checkpoint: Checkpoint, given: JobFlags, options: PredictFlags
) -> tuple[pa.Table, dict[str, Any]]:
    """Score and rank the given triples."""
    tests = read_test_triples(given, store)
    prepared = prepare(store, checkpoint, tests, config=_config(options, ranks=options["ranks"]))
    say_untrained(prepared)
    found, about = predictions_of(prepared, partial(score_here, prepared))
    assert found is not None  # noqa: S101 - there are triples
    assert prepared.test_triples is not None  # noqa: S101 - triples were given
    table = scored_table(prepared.test_triples, labels_of(store, prepared.test_triples), found)
    number = len(table)
    title = "Scores and ranks" if number <= options["rows"] else f"The first {options['rows']:,} of {number:,} triples"
    show(screen_table(table, title, rows=options["rows"]))
    for role in ("tail", "head"):
        why = about["prediction"].get(f"why_no_{role}_ranks")
        if why:
            say(f"no ranks of {role}s: {why}")
    say(f"ranks are among {store.info.num_entities:,} entities; {_probability_words(prepared)}")
    return table, about["prediction"]


def _best(
    store: TripleStore, checkpoint: Checkpoint, given: JobFlags, options: PredictFlags
) -> tuple[pa.Table, dict[str, Any]]:
    """List the best ends of all questions."""
    asked, among = asked_ends(given, store), among_of(given, store)
    prepared = prepare(store, checkpoint, config=_config(options, mode="self"))
    are_logits = scores_are_logits(checkpoint.model, prepared.config.scoring.loss)
    every, tables = best_ends(prepared, asked, among), []
    labels = labels_of(store, np.concatenate([found.triples for found in every]))
    for found in every:
        table = _table(found, labels, are_logits=are_logits)
        tables.append(table)
        role = found.asked.role
        title = f"Best {role}s of {asked_words(found.asked, store)}"
        show(screen_table(table, title, parts=[role], rows=max(options["rows"], options["top"])))
        left_out = "" if among.keep_known else f"; {role}s of training triples are left out (--keep-known)"
        say(f"{len(table):,} of {found.num_candidates:,} {role}s{left_out}")
    say(f"ranks are among all {store.info.num_entities:,} entities; {_probability_words(prepared)}")
    about = {
        "checkpoint": str(checkpoint.path),
        "num_entities": store.info.num_entities,
        "probability": "sigmoid of the score" if are_logits else None,
    }
    return pa.concat_tables(tables), about


def _table(found: BestEnds, labels: Labels, *, are_logits: bool) -> pa.Table:
    return best_table(
        f"{found.asked.role}s",
        found.triples,
        labels,
        score=found.score,
        probability=sigmoid(found.score) if are_logits else None,
        ranks=found.ranks,
        is_known=found.is_known,
    )


def _probability_words(prepared: PreparedRun) -> str:
    are_logits = scores_are_logits(prepared.checkpoints[-1].model, prepared.config.scoring.loss)
    return "the probability is the sigmoid of the score" if are_logits else "scores of this model are no logits"


def _write(table: pa.Table, about: dict[str, Any], options: PredictFlags) -> None:
    target = options["output"]
    if target is None:
        return
    stated = {"tracin_dask_version": __version__, "train": str(options["train"]), **about}
    with writing(target, "the table"):
        write_table(table, target, stated)
    say(f"wrote {target}: {len(table):,} rows")
