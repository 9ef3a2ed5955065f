"""Carries out `tracin-dask validate`: opens the graph and the workers, runs a study, writes and shows its table."""

import difflib
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from tracin_dask.cli.actions.study_progress import study_progress
from tracin_dask.cli.actions.training_graph import graph_of
from tracin_dask.cli.actions.training_settings import model_config, training_config
from tracin_dask.cli.actions.training_sources import kind_of
from tracin_dask.cli.actions.workers import worker_options
from tracin_dask.cli.options.shape import shape_of
from tracin_dask.cli.options.validation import StudyFlags
from tracin_dask.cli.options.values import PykeenDataset
from tracin_dask.cli.say import say, say_written
from tracin_dask.cli.stopping import keeping
from tracin_dask.cli.terminal import show
from tracin_dask.cli.validate import SubsetFlags
from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.errors import ConfigError
from tracin_dask.places.place import Place
from tracin_dask.triples.store import open_store
from tracin_dask.triples.tests_in_file import read_tests
from tracin_dask.validation.folder import GRAPH, StudyFolder
from tracin_dask.validation.graph import NOTHING, StudyGraph, store_of_triples
from tracin_dask.validation.methods import Method, read_methods
from tracin_dask.validation.open_workers import open_workers
from tracin_dask.validation.studies.lds import SubsetPlan, lds
from tracin_dask.validation.study import Study
from tracin_dask.validation.table import StudyTable, on_screen

tell = partial(say, err=True)


def run_lds(options: SubsetFlags) -> None:
    """Measure the linear datamodeling score; raises as `run_study`."""
    plan = subset_plan(options)
    run_study(options, lambda study: lds(study, plan))


def subset_plan(options: SubsetFlags) -> SubsetPlan:
    """Give the plan of a study on random subsets; raises as `SubsetPlan`."""
    return SubsetPlan(
        num_subsets=options["num_subsets"],
        models_per_subset=options["models_per_subset"],
        fraction=options["fraction"],
        num_tests=options["num_tests"],
        num_repeated=options["num_repeated"],
        repeats=options["repeats"],
    )


def run_study(options: StudyFlags, carry_out: Callable[[Study], StudyTable]) -> None:
    """Run a study, write its table and show it.

    Raises
    ------
    TracInDaskError
        If inputs or options do not fit together, or the folder has another study.
    """
    methods = methods_of(options)
    folder = StudyFolder(path=options["output_dir"].absolute())
    cluster, wants_cpus = parse_cluster(options["cluster"]), options["device"] == "cpu"
    with folder.reserved(), keeping(lambda: "finished trainings are kept: give the same command again"):
        graph = study_graph(options, folder)
        tell(f"{len(graph.triples):,} training triples, {len(graph.test):,} test triples, {len(methods)} methods")
        opened = partial(open_workers, cluster, worker_options(options), wants_cpus=wants_cpus, say=tell)
        with study_progress() as progress, opened(progress=progress) as workers:
            study = Study(
                graph=graph,
                folder=folder,
                workers=workers,
                model=model_config(graph.store.entities, graph.store.relations, options),
                settings=replace(training_config(options), use_gpu=not wants_cpus),
                methods=methods,
                seed=options["seed"],
                checkpoint_epochs=_epochs(options),
            )
            table = carry_out(study)
        _show(table, folder)


def _show(table: StudyTable, folder: StudyFolder) -> None:
    show(on_screen(table))
    for note in table.notes:
        say(note)
    for path in table.write(folder.path):
        say_written(path)


def _epochs(options: StudyFlags) -> tuple[int, ...]:
    """Give the stated epochs of checkpoints.

    Raises
    ------
    ConfigError
        If one comes after the last epoch, or the last one is missing.
    """
    epochs, last = options["checkpoint_epochs"], options["num_epochs"]
    if epochs and epochs[-1] != last:
        raise ConfigError(f"--checkpoint-epochs ends with {epochs[-1]}, but --num-epochs is {last}; name {last} last")
    return epochs


def methods_of(options: StudyFlags) -> tuple[Method, ...]:
    """Read the methods, and take those that --only names.

    Raises
    ------
    ConfigError
        If the file is wrong, or has no method of a name.
    """
    found = {method.name: method for method in read_methods(options["methods"])}
    for name in options["only"]:
        if name not in found:
            meant = difflib.get_close_matches(name, found, 1)
            say_known = f"did you mean {meant[0]!r}?" if meant else f"there are {', '.join(map(repr, found))}"
            raise ConfigError(f"--only {name!r}: there is no such method; {say_known}")
    return tuple(method for name, method in found.items() if not options["only"] or name in options["only"])


def study_graph(options: StudyFlags, folder: StudyFolder) -> StudyGraph:
    """Open the store, or read the files and make a store in the folder; raises as `graph_of` and `read_tests`."""
    if kind_of(options["train"]) != "store":
        graph = graph_of(options)
        store = store_of_triples(graph.data.train, (graph.entities, graph.relations), folder.path / GRAPH)
        return StudyGraph.of(store, graph.data.test, graph.data.valid)
    if options["entity_to_id"] or options["relation_to_id"] or options["map_columns"]:
        raise ConfigError(f"{options['train']} is a store, which has its id maps; leave the options of id maps out")
    store = open_store(str(options["train"]))
    read = partial(read_tests, store=store, labels=options["labels"], ids=options["ids"], shape=shape_of(options))
    valid = NOTHING if options["valid"] is None else read(_file(options["valid"])).triples
    return StudyGraph.of(store, read(_file(options["test"])).triples, valid)


def _file(source: Place | PykeenDataset | None) -> Place:
    if not isinstance(source, Place) or kind_of(source) != "text":
        raise ConfigError(f"{source}: with a store as --train, --test and --valid are text files")
    return source
