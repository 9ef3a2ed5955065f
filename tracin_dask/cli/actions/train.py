"""Carries out `tracin-dask train`: settings to a training, its progress, and what to do next."""

import shlex
from dataclasses import replace

from tracin_dask.cli.actions.next_command import map_words
from tracin_dask.cli.actions.training_graph import graph_of
from tracin_dask.cli.actions.training_progress import show_training
from tracin_dask.cli.actions.training_settings import model_config, training_config
from tracin_dask.cli.actions.training_sources import kind_of
from tracin_dask.cli.options.shape import shape_words
from tracin_dask.cli.say import is_quiet, say, say_written
from tracin_dask.cli.stopping import keeping
from tracin_dask.cli.train import TrainFlags
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.training.graph import Graph, num_untrained, write_id_maps
from tracin_dask.models.training.memory import count_memory, shown_bytes
from tracin_dask.models.training.settings import TrainingConfig, TrainingFiles
from tracin_dask.models.training.training import TrainingResult, choose_device, clear_earlier_models, train
from tracin_dask.places.place import AnyPath


def train_conve(options: TrainFlags) -> None:
    """Train, show how it goes, and say what came of it and what to do next.

    Raises
    ------
    TracInDaskError
        If a file cannot be read, sizes do not fit together, or a checkpoint belongs to another training.
    """
    config = _training_config(options)
    _training_files(options).check()
    graph = graph_of(options)
    sizes = model_config(graph.entities, graph.relations, options)
    files = _training_files(options)
    if files.overwrite:
        clear_earlier_models(files)  # before the id maps that they belong to
    id_maps = _place_id_maps(graph, options)
    say(_describe(graph, sizes, config))
    with keeping(lambda: _what_is_kept(files)), show_training(config.num_epochs) as observer:
        result = train(graph.data, sizes, config=config, files=files, observer=observer)
    if is_quiet():
        for path in (result.best_model, result.final_model):
            if path is not None:
                say_written(path)
        return
    say(_summary(result))
    say(f"Next: {_next_command(result, graph, options, id_maps)}")


def _what_is_kept(files: TrainingFiles) -> str:
    """Say where a training that was stopped goes on."""
    found = files.checkpoints.find("checkpoint_epoch_*.pt")
    last = max(found, key=lambda place: (len(place.name), place.name), default=None)
    if last is None:
        return "no checkpoint was written yet"
    return f"--resume-from-checkpoint {shlex.quote(str(last))} continues from there"


def _place_id_maps(graph: Graph, options: TrainFlags) -> tuple[AnyPath, AnyPath]:
    """Name the id maps' files; those that were made are written into the folder of the models."""
    if options["entity_to_id"] is not None and options["relation_to_id"] is not None:
        return options["entity_to_id"], options["relation_to_id"]
    entities, relations = write_id_maps(graph, options["output_dir"], overwrite=options["overwrite"])
    if kind_of(options["train"]) == "pykeen":
        say(f"Wrote the id maps of PyKEEN: {entities} and {relations}.")
    else:
        say(f"No id maps given: made {entities} and {relations} from the triples.")
    return entities, relations


def _training_config(options: TrainFlags) -> TrainingConfig:
    return replace(
        training_config(options),
        random_seed=options["random_seed"],
        checkpoint_frequency=options["checkpoint_frequency"],
        num_workers=options["num_workers"],
        use_mixed_precision=options["use_mixed_precision"],
        use_gradient_checkpointing=options["use_gradient_checkpointing"],
        use_gpu=not options["no_gpu"],
        use_cuda_graph=options["cuda_graph"],
    )


def _training_files(options: TrainFlags) -> TrainingFiles:
    return TrainingFiles(
        output_dir=options["output_dir"],
        checkpoint_dir=options["checkpoint_dir"],
        resume_from=options["resume_from_checkpoint"],
        overwrite=options["overwrite"],
    )


def _describe(graph: Graph, model_config: ConvEConfig, config: TrainingConfig) -> str:
    data, device = graph.data, choose_device(use_gpu=config.use_gpu)
    memory = shown_bytes(count_memory(data, model_config, config, device).total)
    sizes = (
        f"{len(data.train):,} training triples, {len(graph.entities):,} entities, {len(graph.relations):,} relations"
    )
    lines = [f"{sizes}; training on {device}; its arrays take about {memory}."]
    untrained = num_untrained(graph)
    if untrained:
        lines.append(f"{untrained:,} entities are only in --valid or --test: no training triple has them.")
    if not len(data.valid):
        lines.append("Without --valid no best_model.pt is chosen: take final_model.pt.")
    if not len(data.test):
        lines.append("Without --test nothing is ranked at the end: no test_results.json.")
    return "\n".join(lines)


def _summary(result: TrainingResult) -> str:
    lines = [f"Last epoch: {result.final_model}"]
    if result.best_model is not None:
        lines.insert(0, f"Best epoch on the validation triples: {result.best_model}")
    if result.test_metrics is not None:
        tested = result.test_metrics
        lines.append(
            f"Test triples, last epoch: MRR {tested['mean_reciprocal_rank']:.3f}, Hits@10 {tested['hits@10']:.3f}"
        )
    return "\n".join(lines)


def _next_command(result: TrainingResult, graph: Graph, options: TrainFlags, id_maps: tuple[AnyPath, AnyPath]) -> str:
    words = ["--model-path", str(result.best_model or result.final_model), "--train", str(options["train"])]
    if kind_of(options["train"]) == "text":
        words += ["--entity-to-id", str(id_maps[0]), "--relation-to-id", str(id_maps[1])]
        words += [*shape_words(options), *map_words(options, (graph.entities, graph.relations))]
    given = shlex.join(words)
    return f"tracin-dask run {given} --test-triple HEAD RELATION TAIL --output influence.json"
