"""Carries out `tracin-dask evaluate`: reads the result and what is known, compares, prints and writes."""

from collections.abc import Iterator, Mapping
from typing import Any

from tracin_dask import __version__
from tracin_dask.cli.actions.counted_scores import SavedInfluences, open_saved
from tracin_dask.cli.actions.known import read_truth
from tracin_dask.cli.actions.known_in_graph import in_graph, refuse_other_store, vocabulary_of_store
from tracin_dask.cli.evaluate import EvaluateFlags
from tracin_dask.cli.say import say, say_written
from tracin_dask.cli.terminal import show
from tracin_dask.errors import ConfigError
from tracin_dask.places.files import sha256_of
from tracin_dask.places.place import Place
from tracin_dask.report.folder import SUMMARY
from tracin_dask.report.formats import read_result
from tracin_dask.report.json import explained
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.truth.columns import asked, known_of, refuse_paths_without_tests
from tracin_dask.report.truth.evaluation import Evaluation, Settings, evaluate
from tracin_dask.report.truth.files import refuse_foreign, to_dict, write_evaluation
from tracin_dask.report.truth.known import KnownIds
from tracin_dask.report.truth.places import ORDERS, order_of
from tracin_dask.report.truth.resolve import resolve
from tracin_dask.report.truth.screen import evaluation_tables
from tracin_dask.report.truth.values import Truth
from tracin_dask.triples.store import TripleStore, open_store


def evaluate_result(path: Place, options: EvaluateFlags) -> None:
    """Compare a result with what is known, print tables, and write the files.

    Raises
    ------
    ConfigError
        If options are missing or do not go together, or the store or the saved influences are of another run.
    TruthError
        If a file of known explanations cannot be read.
    ResultError
        If there is no result, or the output folder holds something else.
    """
    _refuse_missing(options)
    folder = options["output_dir"] or _default_folder(path)
    refuse_foreign(folder)
    truth = read_truth(options)
    result = read_result(path, all_groups=False)
    _refuse_damaged(path, result)
    refuse_paths_without_tests(result, truth)
    if result.test_triples is None and options["within_hops"] is not None:
        raise ConfigError("--within-hops counts from a test triple, and a result of self-influence has none")
    store = None if options["train"] is None else open_store(options["train"])
    if store is not None:
        refuse_other_store(result, store)
    saved = None if options["saved_scores"] is None else open_saved(options["saved_scores"], result)
    known = known_of(result, truth) if store is None else resolve(truth, vocabulary_of_store(store))
    found = _evaluate(result, truth, known, options, (store, saved))
    notes = list(_notes(result, truth, known, found, options))
    _show(found, known, notes)
    contents = to_dict(found, result, truth, known) | {"notes": notes, **_sources(path, result, options)}
    for place in write_evaluation(found, result, folder, contents):
        say_written(place)


def _refuse_missing(options: EvaluateFlags) -> None:
    if not (options["edges"] or options["paths"] or options["truth"]):
        raise ConfigError("nothing to compare with: give known explanations with --edges, --paths or --truth")
    for name in ("saved_scores", "within_hops"):
        if options[name] is not None and options["train"] is None:
            raise ConfigError(
                f"--{name.replace('_', '-')} needs --train: the store says which training triple is which"
            )


def _refuse_damaged(path: Place, result: InfluenceResult) -> None:
    """Refuse a result that does not say how its training triples rank."""
    with explained(path):
        for name in ("rank_by", "num_training_triples"):
            _ = result.run[name]


def _default_folder(path: Place) -> Place:
    if path.is_folder():
        return path / "evaluation"
    if path.name == SUMMARY:
        return path.parent / "evaluation"
    return path.parent / f"{path.name.rpartition('.')[0] or path.name}.evaluation"


def _evaluate(
    result: InfluenceResult,
    truth: Truth,
    known: KnownIds,
    options: EvaluateFlags,
    graph: tuple[TripleStore | None, SavedInfluences | None],
) -> Evaluation:
    settings = Settings(
        order=options["order"],
        strict=options["strict"],
        seed=options["seed"],
        permutations=options["permutations"],
    )
    store, saved = graph
    columns, hops = truth.measured(strict=options["strict"]), options["within_hops"]
    looked = None if store is None else in_graph(result, known, store, columns=columns, saved=saved, hops=hops)
    return evaluate(result, known, columns=columns, settings=settings, in_graph=looked, hops=hops)


def _show(found: Evaluation, known: KnownIds, notes: list[str]) -> None:
    for part in evaluation_tables(found):
        show(part)
    for line in [*known.unmatched.lines(), *notes]:
        say(line)


def _notes(
    result: InfluenceResult, truth: Truth, known: KnownIds, found: Evaluation, options: EvaluateFlags
) -> Iterator[str]:
    """Say what the numbers depend on."""
    tests = [test for index in range(len(result.rankings)) for test in asked(result, index)]
    if truth.paths is not None:
        pairs = {(head, tail) for head, _, tail in tests}
        about = sum(pair in pairs or pair[::-1] in pairs for pair in known.paths)
        yield (
            f"{about:,} of the {truth.paths.num_pairs:,} pairs with known paths are the ends of a test triple; "
            f"{sum(bool(known.paths_of(test)) for test in tests):,} of {len(tests):,} test triples have a known path"
        )
    if truth.own is not None and truth.own.of_test:
        about = len(known.of_test.keys() & set(tests))
        yield f"{about:,} of the {len(truth.own.of_test):,} test triples of --truth are test triples of the result"
    yield f"order: {ORDERS[found.order]}; [low, high] is the 95 % interval over test triples"
    yield (
        f"lists are cut off at {result.top_k:,}: a known triple beyond the end counts as not found, and tests compare "
        "within the list"
    )
    if options["saved_scores"] is None:
        yield "AUC needs the ranks of all training triples: --saved-scores, or a run with --rank-of"
    if options["train"] is None:
        yield "known triples in the training set were not counted (--train does), so MAP is over those in the list"
    if result.ranks is not None and found.order != order_of(result.run["rank_by"]):
        yield f"exact ranks of --rank-of are in the order of the run, {result.run['rank_by']}, and are left out"
    if options["saved_scores"] is not None and "masks" in result.run:
        yield "the run ranked a part of the training triples only; saved influences rank all of them"


def _sources(path: Place, result: InfluenceResult, options: EvaluateFlags) -> Mapping[str, Any]:
    """State where the numbers come from."""
    file = path / SUMMARY if path.is_folder() else path
    places = {name: options[name] for name in ("train", "saved_scores")}
    return {
        "tracin_dask_version": __version__,
        "result": {"path": str(path), "sha256": sha256_of(file), "started": result.run.get("started")},
        "within_hops": options["within_hops"],
        **{name: None if place is None else str(place) for name, place in places.items()},
        "run": dict(result.run),
    }
