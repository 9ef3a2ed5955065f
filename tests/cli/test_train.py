"""`tracin-dask train` trains from text files, reports, and writes models that `run` accepts."""

import json
import re
import sys

import pytest
from click.testing import CliRunner

from tracin_dask.cli import main as cli
from tracin_dask.cli.actions.training_progress import show_training
from tracin_dask.cli.train import command
from tracin_dask.errors import ConfigError, ResumeError, TriplesError
from tracin_dask.models.checkpoints.checkpoint import check_fits
from tracin_dask.models.load import load_checkpoint
from tracin_dask.models.training.training import EpochReport
from tracin_dask.triples.idmap import id_maps_sha256, read_id_map

SMALL = [
    *("--embedding-dim", "12", "--embedding-height", "4", "--embedding-width", "3", "--output-channels", "2"),
    *("--batch-size", "8", "--num-epochs", "2", "--no-gpu"),
]


@pytest.fixture
def graph(tmp_path):
    """Text files in which drug i treats disease i + k; one entity and one relation occur only in test.txt."""
    lines = [f"D:{i}\tpredicate:{k}\tM:{(i + k) % 6}" for i in range(6) for k in range(4)]
    (tmp_path / "train.txt").write_text("\n".join(lines[:20]) + "\n")
    (tmp_path / "valid.txt").write_text("\n".join(lines[20:23]) + "\n")
    (tmp_path / "test.txt").write_text(lines[23] + "\nD:é\tpredicate:10\tM:1\n")
    return tmp_path


@pytest.fixture
def run(graph):
    def run(*arguments, files=("train", "valid", "test")):
        given = [word for name in files for word in (f"--{name}", str(graph / f"{name}.txt"))]
        result = CliRunner().invoke(command, [*given, *SMALL, *map(str, arguments)])
        if result.exception:
            raise result.exception
        return result

    return run


def test_training_without_id_maps_writes_sorted_id_maps_next_to_the_models(run, graph):
    output = graph / "model"
    result = run("-o", output)
    entities, relations = read_id_map(output / "entity_to_id.tsv"), read_id_map(output / "relation_to_id.tsv")
    assert entities.labels.to_pylist() == [*(f"D:{i}" for i in range(6)), "D:é", *(f"M:{i}" for i in range(6))]
    assert relations.labels.to_pylist() == [f"predicate:{i}" for i in ("0", "1", "10", "2", "3")]
    assert "No id maps given: made " in result.stdout
    checkpoint = load_checkpoint(output / "best_model.pt")
    check_fits(checkpoint, num_entities=13, num_relations=5, id_maps_sha256=id_maps_sha256(entities, relations))


def test_training_uses_given_id_maps_without_copying_them(run, graph):
    run("-o", graph / "first")
    maps = [graph / "first" / name for name in ("entity_to_id.tsv", "relation_to_id.tsv")]
    result = run("-o", graph / "second", "--entity-to-id", maps[0], "--relation-to-id", maps[1])
    assert "No id maps" not in result.stdout
    assert not (graph / "second" / "entity_to_id.tsv").exists()
    first, second = (load_checkpoint(graph / name / "final_model.pt") for name in ("first", "second"))
    assert first.id_maps_sha256 == second.id_maps_sha256


def test_training_without_a_terminal_prints_one_line_per_epoch(run, graph):
    lines = run("-o", graph / "model").stderr.splitlines()
    assert len(lines) == 2
    pattern = (
        r"epoch 1/2  loss 0\.\d{5}  valid MRR 0\.\d{3}  Hits@10 \d\.\d{3}  \d+\.\d s  best so far  about \d+ s left"
    )
    assert re.fullmatch(pattern, lines[0])
    assert "left" not in lines[1]


def test_training_says_before_it_starts_where_and_in_how_much_memory(run, graph):
    text = run("-o", graph / "model", "--batch-size", 16).stdout
    assert re.search(r"20 training triples, 13 entities, .*; training on cpu; its arrays take about \d+ MiB\.", text)


def test_a_graph_of_steps_is_refused_on_a_cpu(run, graph):
    with pytest.raises(ConfigError, match="--cuda-graph replays kernels of a GPU, and this training is on the CPU"):
        run("-o", graph / "model", "--cuda-graph")


def test_time_left_is_the_mean_time_of_an_epoch_for_each_that_is_left(capsys):
    with show_training(5) as observer:
        for epoch, seconds in ((1, 100.0), (2, 20.0)):
            report = EpochReport(epoch=epoch, train_loss=0.5, seconds=seconds, valid_metrics=None, is_best=False)
            observer.on_epoch(report)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[-1] for line in lines] == ["about 6 min 40 s left", "about 3 min 0 s left"]


def test_overwriting_removes_the_models_of_an_earlier_training_and_no_other_file(run, graph):
    run("-o", graph / "model", "--checkpoint-frequency", 1)
    (graph / "model" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"best_model\.pt exists already.*remove its models with --overwrite"):
        run("-o", graph / "model")
    run("-o", graph / "model", "--overwrite", "--num-epochs", 1, "--checkpoint-frequency", 1)
    assert [path.name for path in (graph / "model" / "checkpoints").iterdir()] == ["checkpoint_epoch_1.pt"]
    assert (graph / "model" / "notes.txt").read_text() == "mine"
    with pytest.raises(ConfigError, match="give only one"):
        run("-o", graph / "model", "--overwrite", "--resume-from-checkpoint", graph / "model" / "final_model.pt")


def test_the_image_of_an_embedding_follows_from_its_dimension(graph):
    words = ["--train", f"{graph}/train.txt", "-o", f"{graph}/model", "--embedding-dim", "24", "--num-epochs", "1"]
    assert CliRunner().invoke(command, [*words, "--output-channels", "2", "--no-gpu"]).exit_code == 0
    sizes = json.loads((graph / "model" / "config.json").read_text())["model"]
    assert (sizes["embedding_height"], sizes["embedding_width"]) == (4, 6)


def test_training_progress_in_80_columns_shows_metrics_and_time_left(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    metrics = {"mean_reciprocal_rank": 0.5, "hits@10": 0.75}
    with show_training(100) as observer:
        observer.on_batch(100, 1, 2)
        observer.on_epoch(EpochReport(epoch=100, train_loss=0.25, seconds=1.5, valid_metrics=metrics, is_best=True))
    text = re.sub(r"\x1b\[[\d;?]*\w", "", capsys.readouterr().err)
    assert re.search(r"epoch 100/100  loss 0\.25000  valid MRR 0\.500  Hits@10 0\.750 \S+ +[-\d]+:", text)


def test_training_ends_with_the_models_and_the_next_command(run, graph):
    output = graph / "my model"
    text = run("-o", output).stdout
    assert f"Best epoch on the validation triples: {output}/best_model.pt" in text
    assert re.search(r"Test triples, last epoch: MRR \d\.\d{3}", text)
    assert f"Next: tracin-dask run --model-path '{output}/best_model.pt' --train {graph}/train.txt" in text


def test_training_without_validation_and_test_triples_prints_what_is_skipped(run, graph):
    text = run("-o", graph / "model", files=("train",)).stdout
    assert "Without --valid no best_model.pt is chosen" in text
    assert "Without --test nothing is ranked at the end" in text
    assert f"--model-path {graph}/model/final_model.pt" in text


def test_options_of_train_reach_the_training(run, graph):
    run("-o", graph / "model", "--learning-rate", 0.5, "--input-dropout", 0.25, "--checkpoint-frequency", 1)
    config = json.loads((graph / "model" / "config.json").read_text())
    assert config["training"]["learning_rate"] == 0.5
    assert config["training"]["dropout"] == {"input": 0.25, "feature_map": 0.2, "output": 0.3}
    assert config["data"]["train_path"] == str(graph / "train.txt")
    assert (graph / "model" / "checkpoints" / "checkpoint_epoch_1.pt").exists()


def test_training_writes_checkpoints_to_checkpoint_dir_and_resumes_from_there(run, graph):
    run("-o", graph / "model", "--checkpoint-dir", graph / "kept")
    lines = run(
        "-o", graph / "longer", "--resume-from-checkpoint", graph / "kept" / "checkpoint_epoch_2.pt", "--num-epochs", 3
    ).stderr.splitlines()
    assert [line.split()[1] for line in lines] == ["3/3"]


def test_resuming_a_training_with_another_batch_size_is_refused(run, graph):
    run("-o", graph / "model")
    checkpoint = graph / "model" / "final_model.pt"
    with pytest.raises(ResumeError, match="was trained with batch_size 8, now it is 4"):
        run("-o", graph / "model", "--resume-from-checkpoint", checkpoint, "--batch-size", 4)


def test_training_on_ids_counts_entities_up_to_the_largest_id_of_all_files(graph, run):
    (graph / "train.txt").write_text("0\t0\t1\n1\t0\t2\n2\t1\t0\n")
    (graph / "valid.txt").write_text("0\t1\t9\n")
    run("-o", graph / "model", files=("train", "valid"))
    config = load_checkpoint(graph / "model" / "final_model.pt").config
    assert (config.num_entities, config.num_relations) == (10, 2)


def test_integers_are_labels_with_the_labels_option(graph, run):
    (graph / "train.txt").write_text("10\t0\t1\n1\t0\t2\n2\t1\t10\n")
    run("-o", graph / "model", "--labels", files=("train",))
    assert read_id_map(graph / "model" / "entity_to_id.tsv").labels.to_pylist() == ["1", "10", "2"]


def test_training_with_only_one_id_map_is_refused(run, graph):
    with pytest.raises(ConfigError, match="--relation-to-id is missing; give both id maps"):
        run("-o", graph / "model", "--entity-to-id", graph / "train.txt")


def test_training_does_not_overwrite_other_id_maps(run, graph):
    output = graph / "model"
    output.mkdir()
    (output / "entity_to_id.tsv").write_text("other\t0\n")
    with pytest.raises(ConfigError, match=r"entity_to_id\.tsv exists already with other labels"):
        run("-o", output)
    assert (output / "entity_to_id.tsv").read_text() == "other\t0\n"


def test_overwrite_replaces_the_id_maps_with_the_models_that_they_belong_to(run, graph):
    output = graph / "model"
    run("-o", output, "--num-epochs", 1, files=("train",))
    (graph / "train.txt").write_text((graph / "train.txt").read_text() + "new one\tr:new\tanother\n")
    with pytest.raises(ConfigError, match="or remove it and its models with --overwrite"):
        run("-o", output, "--num-epochs", 1, files=("train",))
    run("-o", output, "--num-epochs", 1, "--overwrite", files=("train",))
    assert "new one" in read_id_map(output / "entity_to_id.tsv").labels.to_pylist()
    assert load_checkpoint(output / "final_model.pt").config.num_entities == len(
        read_id_map(output / "entity_to_id.tsv")
    )


def test_an_unknown_label_stops_the_training_with_its_line(run, graph):
    run("-o", graph / "first", files=("train", "valid"))
    maps = ["--entity-to-id", graph / "first" / "entity_to_id.tsv"]
    maps += ["--relation-to-id", graph / "first" / "relation_to_id.tsv"]
    with pytest.raises(TriplesError, match=r"(?s)test\.txt.*D:é"):
        run("-o", graph / "second", *maps)
    assert not (graph / "second").exists()


def test_a_training_error_is_one_message_without_a_traceback(graph, monkeypatch, capsys):
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "tracin-dask",
            "train",
            "--train",
            str(graph / "train.txt"),
            "-o",
            str(graph),
            "--embedding-dim",
            "9",
            "--embedding-height",
            "4",
        ],
    )
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert capsys.readouterr().err.startswith(
        "Error: an image of 4 rows cannot hold embedding_dim 9 numbers; choose a divisor of the dimension"
    )


def test_train_help_names_every_flag_of_train_pytorch():
    text = CliRunner().invoke(command, ["--help"]).output
    flags = [f"--{name.replace('_', '-')} " for name in (*DEFAULTS, *WITHOUT_DEFAULT)]
    assert [flag for flag in flags if flag not in text] == []
    assert {option.name: option.default for option in command.params if option.name in DEFAULTS} == DEFAULTS


DEFAULTS = {
    "embedding_dim": 200,
    "output_channels": 32,
    "kernel_height": 3,
    "kernel_width": 3,
    "input_dropout": 0.2,
    "feature_map_dropout": 0.2,
    "output_dropout": 0.3,
    "num_epochs": 100,
    "batch_size": 256,
    "learning_rate": 0.001,
    "label_smoothing": 0.1,
    "checkpoint_frequency": 2,
    "random_seed": 42,
}
WITHOUT_DEFAULT = (
    *("embedding_height", "embedding_width"),  # 10 and 20 of 200
    *("train", "valid", "test", "entity_to_id", "relation_to_id", "output_dir", "checkpoint_dir", "num_workers"),
    *("resume_from_checkpoint", "use_mixed_precision", "use_gradient_checkpointing", "no_gpu"),
)
