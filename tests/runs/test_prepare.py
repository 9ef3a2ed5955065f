"""What does not belong together is refused before anything is planned."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from small_graph import NUM_ENTITIES, NUM_RELATIONS, Graph, entity, ingest_graph, labels, save_checkpoint, small_model

from tracin_dask.errors import CheckpointError, ConfigError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.load import load_checkpoint
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.inputs.resolve import resolve_triples
from tracin_dask.runs.prepare import prepare
from tracin_dask.triples.ingest import IngestOptions


def test_test_triples_as_labels_and_as_ids_are_the_same(graph: Graph):
    as_labels = [labels(triple) for triple in graph.test_triples]
    for given in (
        graph.test_triples,
        graph.test_triples.tolist(),
        as_labels,
        np.array(as_labels),
        np.array(as_labels, dtype=object),
    ):
        assert resolve_triples(graph.store, given).tolist() == graph.test_triples.tolist()


@pytest.mark.parametrize(
    ("triple", "role", "limit"),
    [
        (("GENE:xx", "predicate:1", "GENE:00"), "head GENE:xx", NUM_ENTITIES),
        (("GENE:00", "9", "GENE:00"), "relation 9", NUM_RELATIONS),
        ((NUM_ENTITIES, 0, 0), f"head {NUM_ENTITIES}", NUM_ENTITIES),
        ((0, NUM_RELATIONS, 0), f"relation {NUM_RELATIONS}", NUM_RELATIONS),
        ((0, 0, -1), "tail -1", NUM_ENTITIES),
    ],
)
def test_an_unknown_part_of_a_test_triple_is_named(graph: Graph, triple, role, limit):
    known = labels(graph.lines[0]) if isinstance(triple[0], str) else (0, 0, 1)
    expected = (
        f"test triple 2 of 3 {triple}: the {role} is not among the {limit} that {graph.store.path} knows; "
        "2 test triple(s) in all"
    )
    with pytest.raises(ConfigError, match=re.escape(expected)):
        resolve_triples(graph.store, [known, triple, triple])


def test_a_unique_readable_name_is_as_good_as_a_label_and_an_ambiguous_one_is_refused(graph: Graph, tmp_path):
    (tmp_path / "names.txt").write_text('Bee, the "first"\t3\nSea\t4\nSea\t5\n')
    store = ingest_graph(graph.folder, tmp_path / "graph.zarr", IngestOptions(entity_names=tmp_path / "names.txt"))
    found = resolve_triples(store, [('Bee, the "first"', "predicate:1", entity(3))])
    assert found.tolist() == resolve_triples(store, [(entity(3), "predicate:1", entity(3))]).tolist()
    candidates = rf"{entity(4)} \(id 4\), {entity(5)} \(id 5\); give the label of one"
    with pytest.raises(ConfigError, match=rf"the tail Sea is ambiguous \(.* name of 2 entities: {candidates}"):
        resolve_triples(store, [(entity(3), "predicate:1", "Sea")])


@pytest.mark.parametrize(
    ("triple", "meant"),
    [
        (("GENE:00", "predicate:1", "gene:00"), r"tail gene:00 is .* \(did you mean GENE:00.*\?\)"),
        (("GENE:00", "predicat:1", "GENE:00"), r"relation predicat:1 is .* \(did you mean predicate:1.*\?\)"),
        (("predicate:1", "GENE:00", "GENE:00"), r"head predicate:1 is .* \(it is a relation: .* not exchanged\?\)"),
        (("GENE:00", "GENE:00", "GENE:00"), r"relation GENE:00 is .* \(it is an entity: .* not exchanged\?\)"),
    ],
)
def test_an_unknown_label_gets_suggestions(graph: Graph, triple, meant):
    with pytest.raises(ConfigError, match=meant):
        resolve_triples(graph.store, [triple])


@pytest.mark.parametrize(
    ("given", "found"),
    [([], r"\(0,\)"), ([[0, 1]], r"\(1, 2\)"), (np.arange(3), r"\(3,\)"), (np.empty((0, 3), int), r"\(0,\)")],
)
def test_test_triples_of_the_wrong_shape_are_refused(graph: Graph, given, found):
    with pytest.raises(ConfigError, match=rf"rows of \(head, relation, tail\), ids or labels, found an array {found}"):
        resolve_triples(graph.store, given)


def test_test_triples_of_different_lengths_are_refused(graph: Graph):
    with pytest.raises(ConfigError, match="found rows of different lengths"):
        resolve_triples(graph.store, [[0, 0, 1], [0, 0]])


@pytest.mark.parametrize(
    "given", [np.array([[0.5, 0, 1]]), np.array([[np.nan, 0, 1]]), np.array([[True] * 3])], ids=str
)
def test_test_triples_that_are_no_integers_are_refused(graph: Graph, given):
    with pytest.raises(ConfigError, match=r"found numbers of type (float64|bool); ids are integers"):
        resolve_triples(graph.store, given)


def test_mode_test_needs_test_triples(graph: Graph, checkpoint: Checkpoint):
    with pytest.raises(ConfigError, match="mode 'test' explains test triples, and none are given"):
        prepare(graph.store, checkpoint, config=RunConfig.of(mode="test"))


def test_mode_self_takes_no_test_triples(graph: Graph, checkpoint: Checkpoint):
    with pytest.raises(ConfigError, match="mode 'self' is about the training triples alone"):
        prepare(graph.store, checkpoint, graph.test_triples, config=RunConfig.of(mode="self"))


def test_without_a_configuration_the_test_triples_choose_the_mode(graph: Graph, checkpoint: Checkpoint):
    assert prepare(graph.store, checkpoint).config.question.mode == "self"
    assert prepare(graph.store, checkpoint, graph.test_triples).config.question.mode == "test"


@pytest.mark.parametrize(
    ("sizes", "numbers"),
    [
        ({"num_entities": 61}, "was trained with 61 entities, the id map has 60"),
        ({"num_relations": 4}, "was trained with 4 relations, the id map has 5"),
    ],
)
def test_a_checkpoint_of_another_graph_is_refused_with_both_numbers(graph: Graph, tmp_path: Path, sizes, numbers):
    other = load_checkpoint(save_checkpoint(tmp_path / "other.pt", small_model(**sizes)))
    with pytest.raises(CheckpointError, match=numbers):
        prepare(graph.store, other, graph.test_triples)


def test_a_parameter_pattern_without_matches_is_refused(graph: Graph, checkpoint: Checkpoint):
    with pytest.raises(ConfigError, match="no parameter tensor matches 'fc2"):
        prepare(graph.store, checkpoint, graph.test_triples, config=RunConfig.of(parameters=("fc.*", "fc2.*")))


def test_the_learning_rate_is_the_given_one_or_the_checkpoints_or_the_default(graph: Graph, checkpoint, tmp_path):
    path = tmp_path / "bare.pt"
    torch.save(checkpoint.model.state_dict(), path)
    bare = load_checkpoint(path, embedding_height=4, embedding_width=6)
    assert prepare(graph.store, checkpoint, config=RunConfig.of(mode="self", learning_rate=0.2)).learning_rates == (
        0.2,
    )
    assert prepare(graph.store, checkpoint).learning_rates == (0.01,)
    assert prepare(graph.store, bare).learning_rates == (0.001,)
