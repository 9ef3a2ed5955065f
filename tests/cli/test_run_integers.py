"""`run` asks whether integers are ids or labels wherever they could be either, until `--ids` or `--labels` says it."""

import json

import pytest
import torch
from conftest import random_model

from tracin_dask.errors import ConfigError, TriplesError
from tracin_dask.models.conve.model import SIZE_NAMES

NUM_ENTITIES, NUM_RELATIONS = 40, 4


@pytest.fixture
def numbered(project, tmp_path):
    """The project with integers as labels: entity n is called n + 1, relation n is called n + 10."""
    entities = "".join(f"{number + 1}\t{number}\n" for number in range(NUM_ENTITIES))
    relations = "".join(f"{number + 10}\t{number}\n" for number in range(NUM_RELATIONS))
    (tmp_path / "e.tsv").write_text(entities)
    (tmp_path / "r.tsv").write_text(relations)
    lines = "".join(f"{h + 1}\t{r + 10}\t{t + 1}\n" for h, r, t in project.lines.tolist())
    (tmp_path / "train.txt").write_text(lines)
    maps = ["--entity-to-id", tmp_path / "e.tsv", "--relation-to-id", tmp_path / "r.tsv"]
    files = ["--model-path", project.folder / "model.pt", "--cache-dir", tmp_path / "cache", "--threads-per-worker", 1]
    return [*files, *maps, "--train", tmp_path / "train.txt", "--output", tmp_path / "why.json"]


@pytest.fixture
def graph(numbered, tool, tmp_path):
    """The same with a store in place of the text, whose integers are settled."""
    maps = numbered[6:10]
    done = tool("ingest", tmp_path / "train.txt", *maps, "--labels", "-o", tmp_path / "graph.zarr")
    assert done.exit_code == 0, done.output
    return [tmp_path / "graph.zarr" if word == tmp_path / "train.txt" else word for word in numbered]


def test_test_triples_of_integers_are_refused_until_they_are_stated(graph, tool, tmp_path):
    with pytest.raises(
        TriplesError, match=r"--test-triple: are its integers ids .* label 1 has the id 0; give --ids or"
    ):
        tool("run", *graph, "--test-triple", 3, 10, 4)
    for stated, expected in (("--ids", [3, 2, 4]), ("--labels", [2, 0, 3])):
        triple = [3, 2, 4] if stated == "--ids" else [3, 10, 4]
        done = tool("run", *graph, "--test-triple", *triple, stated)
        assert done.exit_code == 0, done.output
        found = json.loads((tmp_path / "why.json").read_text())["test_triple"]
        assert [found["head"], found["relation"], found["tail"]] == expected


def test_test_triples_with_a_word_are_labels_without_a_question(project, tool, tmp_path):
    mixed = tmp_path / "mixed.tsv"
    mixed.write_text("".join(f"{number + 1}\t{number}\n" for number in range(NUM_ENTITIES)))
    lines = "".join(f"{h + 1}\tpredicate:{(r + 2) % 4}\t{t + 1}\n" for h, r, t in project.lines.tolist())
    (tmp_path / "train.txt").write_text(lines)
    words = project.options()
    words[words.index("--entity-to-id") + 1] = mixed
    words[words.index("--train") + 1] = tmp_path / "train.txt"
    output = ["--cache-dir", tmp_path / "cache", "--output", tmp_path / "why.json"]
    done = tool("run", *words, *output, "--test-triple", 3, "predicate:2", 4)
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "why.json").read_text())["test_triple"]["head"] == 2


def test_training_text_of_integers_is_refused_until_they_are_stated(numbered, tool):
    with pytest.raises(TriplesError, match=r"train\.txt: are its integers ids or labels\?"):
        tool("run", *numbered, "--mode", "self")
    done = tool("run", *numbered, "--mode", "self", "--labels")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    "option",
    ["--test", "--rank-of", "--candidates", "--group-by", "--contrast", "--only-relations", "--exclude-relations"],
)
def test_every_other_option_that_names_triples_or_their_parts_asks_too(graph, tool, tmp_path, option):
    line = "3\t2\t4" + ("\tx" if option == "--group-by" else "")
    (tmp_path / "listed.txt").write_text(line + "\n")
    value = {"--contrast": 5, "--only-relations": 1, "--exclude-relations": 1}.get(option, tmp_path / "listed.txt")
    test = [] if option == "--test" else ["--test-triple", "3", "10", "4"]
    named = option if option.startswith(("--contrast", "--only", "--exclude")) else r"listed\.txt"
    with pytest.raises(TriplesError, match=rf"{named}: are its integers ids or labels\?"):
        tool("run", *graph, *test, option, value)


@pytest.mark.parametrize("command", ["run", "ingest", "train"])
def test_ids_and_labels_exclude_each_other(numbered, tool, tmp_path, command):
    words = {
        "run": [*numbered, "--mode", "self"],
        "ingest": [tmp_path / "train.txt", "-o", tmp_path / "graph.zarr"],
        "train": ["--train", tmp_path / "train.txt", "-o", tmp_path / "model"],
    }[command]
    with pytest.raises(ConfigError, match="--labels and --ids contradict each other"):
        tool(command, *words, "--ids", "--labels")
    assert not (tmp_path / "cache").exists()


def test_ids_of_a_map_whose_labels_are_no_integers_need_no_option(explain, project):
    assert explain(triple=project.test_ids)["test_triple"]["head"] == project.lines[5][0]


def test_an_inverted_map_gives_the_same_influences_and_is_told(project, explain, tool, tmp_path):
    expected = explain(triple=project.test_labels)["influences"]
    words = project.options()
    for option, name in (("--entity-to-id", "node_dict.txt"), ("--relation-to-id", "rel_dict.txt")):
        lines = [line.split("\t") for line in (project.folder / name).read_text().splitlines()]
        (tmp_path / name).write_text("".join(f"{number}\t{label}\n" for label, number in lines))
        words[words.index(option) + 1] = tmp_path / name
    output = ["--cache-dir", tmp_path / "cache", "--output", tmp_path / "inverted.json"]
    done = tool("run", *words, *output, "--test-triple", *project.test_labels)
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "inverted.json").read_text())["influences"] == expected
    assert done.output.count("read as lines of `id TAB entity label`") == 1
    assert done.output.count("read as lines of `id TAB relation label`") == 1


def test_the_next_command_of_ingest_states_what_its_id_maps_do_not(tool, tmp_path):
    (tmp_path / "train.txt").write_text("1\t0\t2\n2\t0\t10\n10\t1\t0\n11\t2\t3\n4\t1\t5\n6\t0\t7\n8\t0\t9\n")
    done = tool("ingest", tmp_path / "train.txt", "--labels", "-o", tmp_path / "graph.zarr")
    assert "--labels --map-columns label,id --test-triple" in done.output
    model = random_model(num_entities=12, num_relations=3).float()
    sizes = {name: getattr(model.config, name) for name in SIZE_NAMES}
    torch.save({"model_state_dict": model.state_dict(), "model_config": sizes}, tmp_path / "model.pt")
    words = done.output.split("Next: tracin-dask ")[1].replace("MODEL.pt", str(tmp_path / "model.pt"))
    command = (
        words.replace("HEAD RELATION TAIL", "10 1 0").replace("influence.json", str(tmp_path / "why.json")).split()
    )
    again = tool(*command)
    assert again.exit_code == 0, again.output
