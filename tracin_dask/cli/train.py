"""`tracin-dask train`: settings from the command line to a training, its progress, and what to do next."""

import shlex
from pathlib import Path
from typing import TypedDict, Unpack

import click

from tracin_dask.cli.training_progress import show_training
from tracin_dask.models.conve.model import ConvEConfig, Dropout
from tracin_dask.models.training.graph import Graph, GraphFiles, read_graph, write_id_maps
from tracin_dask.models.training.settings import TrainingConfig, TrainingFiles
from tracin_dask.models.training.training import TrainingResult, choose_device, train

EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


class TrainOptions(TypedDict):
    """The options of the command, by name."""

    train: Path
    valid: Path | None
    test: Path | None
    entity_to_id: Path | None
    relation_to_id: Path | None
    labels: bool
    output_dir: Path
    embedding_dim: int
    embedding_height: int
    embedding_width: int
    output_channels: int
    kernel_height: int
    kernel_width: int
    input_dropout: float
    feature_map_dropout: float
    output_dropout: float
    num_epochs: int
    batch_size: int
    learning_rate: float
    label_smoothing: float
    random_seed: int
    checkpoint_dir: Path | None
    checkpoint_frequency: int
    resume_from_checkpoint: Path | None
    use_mixed_precision: bool
    use_gradient_checkpointing: bool
    num_workers: int
    no_gpu: bool


@click.command(context_settings={"show_default": True})
@click.option("--train", type=EXISTING_FILE, required=True, help="Training triples: head TAB relation TAB tail.")
@click.option("--valid", type=EXISTING_FILE, help="Validation triples; they choose best_model.pt.")
@click.option("--test", type=EXISTING_FILE, help="Test triples; ranked at the end, into test_results.json.")
@click.option("--entity-to-id", type=EXISTING_FILE, help="Entity label TAB id. [default: made from the triples]")
@click.option("--relation-to-id", type=EXISTING_FILE, help="Relation label TAB id. [default: made from the triples]")
@click.option("--labels", is_flag=True, help="Bare integers in the triples are labels, not ids.")
@click.option("-o", "--output-dir", type=FOLDER, required=True, help="Folder for the models and records.")
@click.option("--embedding-dim", default=200, help="Numbers per entity and relation; equals height × width.")
@click.option("--embedding-height", default=10, help="Rows of the image that an embedding becomes.")
@click.option("--embedding-width", default=20, help="Columns of the image that an embedding becomes.")
@click.option("--output-channels", default=32, help="Kernels of the convolution.")
@click.option("--kernel-height", default=3, help="Rows of a kernel.")
@click.option("--kernel-width", default=3, help="Columns of a kernel.")
@click.option("--input-dropout", default=0.2, help="Share of image values dropped in training.")
@click.option("--feature-map-dropout", default=0.2, help="Share of channels dropped in training.")
@click.option("--output-dropout", default=0.3, help="Share of projected values dropped in training.")
@click.option("--num-epochs", default=100, help="Passes over the triples in total; may grow when resuming.")
@click.option("--batch-size", default=256, help="Triples per optimizer step.")
@click.option("--learning-rate", default=0.001, help="Adam's learning rate; recorded in the checkpoints.")
@click.option("--label-smoothing", default=0.1, help="ε: labels are (1 − ε)·onehot + ε / number of entities.")
@click.option("--random-seed", default=42, help="Decides first weights, shuffling and dropout.")
@click.option("--checkpoint-dir", type=FOLDER, help="Folder of checkpoints. [default: OUTPUT_DIR/checkpoints]")
@click.option("--checkpoint-frequency", default=2, help="Write a checkpoint every so many epochs.")
@click.option("--resume-from-checkpoint", type=EXISTING_FILE, help="Go on exactly where this checkpoint was written.")
@click.option("--use-mixed-precision", is_flag=True, help="Compute in bfloat16 (CPU) or float16 (GPU).")
@click.option("--use-gradient-checkpointing", is_flag=True, help="Less memory, more time: recompute activations.")
@click.option("--num-workers", default=0, help="Processes that prepare batches; 0 for none. Changes no result.")
@click.option("--no-gpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
def command(**options: Unpack[TrainOptions]) -> None:
    """Train a ConvE on a graph.

    For every training triple the model learns to tell the true tail from all entities (binary cross-entropy, Adam).
    After each epoch the validation triples are ranked: MRR and Hits@k of the tails, other known tails left out, ties
    against the model.

    \b
    OUTPUT_DIR gets
      best_model.pt            the epoch with the best validation MRR (needs --valid)
      final_model.pt           the last epoch
      checkpoints/checkpoint_epoch_N.pt
      config.json, training_history.json, test_results.json

    A training that was stopped goes on with the same options and --resume-from-checkpoint; on a CPU its models equal
    those of a training that was never stopped.

    \b
    Example, a small model:
      tracin-dask train --train train.txt --valid valid.txt --test test.txt -o model \\
          --embedding-dim 32 --embedding-height 8 --embedding-width 4 --num-epochs 50
    """
    config = _training_config(options)
    graph = read_graph(_graph_files(options))
    model_config = _model_config(graph, options)
    id_maps = _place_id_maps(graph, options)
    click.echo(_describe(graph, config))
    with show_training(config.num_epochs) as observer:
        result = train(graph.data, model_config, config=config, files=_training_files(options), observer=observer)
    click.echo(_summary(result))
    click.echo(f"Next: {_next_command(result, options, id_maps)}")


def _graph_files(options: TrainOptions) -> GraphFiles:
    return GraphFiles(
        train=options["train"],
        valid=options["valid"],
        test=options["test"],
        entity_to_id=options["entity_to_id"],
        relation_to_id=options["relation_to_id"],
        labels=options["labels"],
    )


def _place_id_maps(graph: Graph, options: TrainOptions) -> tuple[Path, Path]:
    """Name the id maps' files; those that were made are written beside the models."""
    if options["entity_to_id"] is not None and options["relation_to_id"] is not None:
        return options["entity_to_id"], options["relation_to_id"]
    entities, relations = write_id_maps(graph, options["output_dir"])
    click.echo(f"No id maps given: made {entities} and {relations} from the triples.")
    return entities, relations


def _model_config(graph: Graph, options: TrainOptions) -> ConvEConfig:
    return ConvEConfig(
        num_entities=len(graph.entities),
        num_relations=len(graph.relations),
        embedding_dim=options["embedding_dim"],
        embedding_height=options["embedding_height"],
        embedding_width=options["embedding_width"],
        output_channels=options["output_channels"],
        kernel_height=options["kernel_height"],
        kernel_width=options["kernel_width"],
    )


def _training_config(options: TrainOptions) -> TrainingConfig:
    return TrainingConfig(
        num_epochs=options["num_epochs"],
        batch_size=options["batch_size"],
        learning_rate=options["learning_rate"],
        label_smoothing=options["label_smoothing"],
        dropout=Dropout(
            input=options["input_dropout"],
            feature_map=options["feature_map_dropout"],
            output=options["output_dropout"],
        ),
        random_seed=options["random_seed"],
        checkpoint_frequency=options["checkpoint_frequency"],
        num_workers=options["num_workers"],
        use_mixed_precision=options["use_mixed_precision"],
        use_gradient_checkpointing=options["use_gradient_checkpointing"],
        use_gpu=not options["no_gpu"],
    )


def _training_files(options: TrainOptions) -> TrainingFiles:
    return TrainingFiles(
        output_dir=options["output_dir"],
        checkpoint_dir=options["checkpoint_dir"],
        resume_from=options["resume_from_checkpoint"],
    )


def _describe(graph: Graph, config: TrainingConfig) -> str:
    data = graph.data
    sizes = (
        f"{len(data.train):,} training triples, {len(graph.entities):,} entities, {len(graph.relations):,} relations"
    )
    lines = [f"{sizes}; training on {choose_device(use_gpu=config.use_gpu)}."]
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


def _next_command(result: TrainingResult, options: TrainOptions, id_maps: tuple[Path, Path]) -> str:
    paths = {
        "--model-path": result.best_model or result.final_model,
        "--train": options["train"],
        "--entity-to-id": id_maps[0],
        "--relation-to-id": id_maps[1],
    }
    given = shlex.join(str(word) for option in paths.items() for word in option)
    return f"tracin-dask run {given} --test-triple HEAD RELATION TAIL --output influence.json"
