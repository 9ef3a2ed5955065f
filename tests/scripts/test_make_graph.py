"""Synthetic graphs: exact counts, distinct triples, equal bytes, heavy tails, files that work."""

import json
from collections import Counter
from itertools import pairwise

import pytest
import torch

import tracin_dask
from tracin_dask.errors import ConfigError

FILES = {
    "train.txt",
    "test.txt",
    "valid.txt",
    "node_dict.txt",
    "rel_dict.txt",
    "node_name_dict.txt",
    "edge_map.json",
    "model.pt",
    "graph.json",
}


def all_bytes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def statement(graph):
    return json.loads((graph.folder / "graph.json").read_text())


def test_a_made_graph_has_exactly_the_documented_files(small):
    assert set(all_bytes(small.folder)) - {".writer"} == FILES


def test_a_made_graph_has_exactly_the_requested_counts(small):
    assert len(small.lines("train.txt")) == 10_000
    assert len(small.lines("test.txt")) == 50
    assert len(small.lines("valid.txt")) == 10
    assert sorted(small.ids("node_dict.txt").values()) == list(range(1_000))
    assert sorted(small.ids("rel_dict.txt").values()) == list(range(50))
    assert len(small.lines("node_name_dict.txt")) == 1_000
    assert len(json.loads((small.folder / "edge_map.json").read_text())) == 50


def test_train_validation_and_test_triples_are_distinct(small):
    triples = [triple for name in ("train.txt", "test.txt", "valid.txt") for triple in small.triples(name)]
    assert len(set(triples)) == len(triples) == 10_060
    assert all(head != tail for head, _, tail in triples)


def test_test_triples_treat_diseases_with_drugs_that_have_training_treatments(small):
    treats = statement(small)["test_relation"]
    edge = next(
        key for key, label in json.loads((small.folder / "edge_map.json").read_text()).items() if label == treats
    )
    assert json.loads(edge)["predicate"] == "biolink:treats"
    trained = {(head, relation) for head, relation, _ in small.triples("train.txt")}
    for head, relation, tail in small.triples("test.txt") + small.triples("valid.txt"):
        assert head.startswith("CHEBI:")
        assert tail.startswith("MONDO:")
        assert relation == treats
        assert (head, relation) in trained


def test_every_relation_joins_one_type_to_another(small):
    types = {(relation, head.split(":")[0], tail.split(":")[0]) for head, relation, tail in small.triples("train.txt")}
    assert len(types) == len({relation for relation, _, _ in types})


def test_ids_follow_the_labels_as_text_and_every_label_of_a_triple_has_one(small):
    entities, relations = small.ids("node_dict.txt"), small.ids("rel_dict.txt")
    for ids in (entities, relations):
        assert list(ids) == sorted(ids)
    assert relations["predicate:10"] == 2
    for head, relation, tail in small.triples("train.txt"):
        assert {head, tail} <= entities.keys()
        assert relation in relations


def test_some_names_hold_commas_quotes_and_letters_beyond_ascii(small):
    names = [line.split("\t")[0] for line in small.lines("node_name_dict.txt")]
    for special in (",", '"', "é", "α"):
        assert any(special in name for name in names)
    assert len(set(names)) < len(names)


def test_lines_of_a_made_graph_are_in_random_order(small):
    heads = [head for head, _, _ in small.triples("train.txt")]
    rising = sum(first < second for first, second in pairwise(heads)) / len(heads)
    assert rising == pytest.approx(0.5, abs=0.03)


def test_the_stated_skew_is_what_the_training_file_has(small):
    triples = small.triples("train.txt")
    groups = Counter((head, relation) for head, relation, _ in triples)
    heads, relations, tails = (Counter(column) for column in zip(*triples, strict=True))
    expected = {
        "distinct_heads_per_row": len(heads) / 10_000,
        "distinct_head_relation_pairs_per_row": len(groups) / 10_000,
        "share_of_most_frequent_relation": max(relations.values()) / 10_000,
        "num_distinct_relations": len(relations),
        "num_distinct_tails": len(tails),
        "largest_in_degree": max(tails.values()),
        "largest_out_degree": max(heads.values()),
        "largest_group": max(groups.values()),
    }
    for size in (8, 32, 128):
        rows = sum(number for number in groups.values() if number >= size)
        expected[f"share_of_rows_in_groups_of_at_least_{size}"] = rows / 10_000
    assert statement(small)["measured"] == pytest.approx(expected, abs=1e-12)


def test_heads_relations_and_tails_have_heavy_tails(make_graph, tmp_path):
    assert make_graph(tmp_path / "graph", triples=128_000, entities=10_000).exit_code == 0
    skew = json.loads((tmp_path / "graph" / "graph.json").read_text())["measured"]
    assert skew["distinct_heads_per_row"] == pytest.approx(0.97 * 10_000 / 128_000, rel=0.01)
    assert 0.14 < skew["distinct_head_relation_pairs_per_row"] < 0.21
    assert 0.5 < skew["share_of_rows_in_groups_of_at_least_8"] < 0.75
    assert 0.15 < skew["share_of_rows_in_groups_of_at_least_32"] < 0.4
    assert 0.02 < skew["share_of_rows_in_groups_of_at_least_128"] < 0.2
    assert 0.06 < skew["share_of_most_frequent_relation"] < 0.25
    assert 0.002 < skew["largest_in_degree"] / 128_000 < 0.03
    assert 0.005 < skew["largest_out_degree"] / 128_000 < 0.05


def test_a_made_graph_depends_only_on_its_arguments(small, make_graph, tmp_path):
    make_graph(tmp_path / "again")
    make_graph(tmp_path / "other", seed=1)
    first, again, other = (all_bytes(folder) for folder in (small.folder, tmp_path / "again", tmp_path / "other"))
    assert again == first
    for name in FILES - {"rel_dict.txt"}:
        assert other[name] != first[name]


def test_blocks_and_buckets_of_any_size_give_exact_and_distinct_triples(small, make_graph, monkeypatch, tmp_path):
    monkeypatch.setattr("synthetic_graph.rows.BLOCK_ROWS", 100)
    monkeypatch.setattr("synthetic_graph.generate.BUCKET_ROWS", 300)
    make_graph(tmp_path / "graph")
    lines = (tmp_path / "graph" / "train.txt").read_text().splitlines()
    assert len(lines) == len(set(lines)) == 10_000
    held_out = [
        line for name in ("test.txt", "valid.txt") for line in (tmp_path / "graph" / name).read_text().splitlines()
    ]
    assert not set(held_out) & set(lines)
    assert statement(small)["measured"]["distinct_heads_per_row"] == 0.0969
    assert len({line.split("\t")[0] for line in lines}) == 969


def test_a_graph_filled_to_the_last_possible_triple_is_distinct(make_graph, tmp_path):
    options = {"entities": 200, "relations": 3, "test_triples": 1, "valid_triples": 1}
    with pytest.raises(ConfigError, match=r"are more than the [\d,]+ distinct ones") as refused:
        make_graph(tmp_path / "graph", triples=1_000_000, **options)
    possible = int(str(refused.value).split("more than the ")[1].split()[0].replace(",", ""))
    make_graph(tmp_path / "graph", triples=possible - 2, **options)
    lines = (tmp_path / "graph" / "train.txt").read_text().splitlines()
    assert len(lines) == len(set(lines)) == possible - 2


@pytest.mark.parametrize(("num_relations", "num_triples"), [(1, 1_500), (13, 5_000), (237, 5_000)])
def test_any_number_of_relations_has_labels_and_distinct_edges(num_relations, num_triples, make_graph, tmp_path):
    options = {"triples": num_triples, "entities": 2_000, "test_triples": 5, "valid_triples": 5}
    make_graph(tmp_path / "graph", relations=num_relations, **options)
    edges = json.loads((tmp_path / "graph" / "edge_map.json").read_text())
    assert sorted(edges.values()) == sorted(f"predicate:{number}" for number in range(num_relations))


def test_ingest_run_and_the_checkpoint_accept_the_files(small, tmp_path):
    folder = small.folder
    store = tracin_dask.ingest(
        folder / "train.txt",
        tmp_path / "graph.zarr",
        entity_to_id=folder / "node_dict.txt",
        relation_to_id=folder / "rel_dict.txt",
        options=tracin_dask.IngestOptions(
            entity_names=folder / "node_name_dict.txt", edge_map=folder / "edge_map.json"
        ),
    )
    assert len(store) == 10_000
    checkpoint = tracin_dask.load_checkpoint(folder / "model.pt")
    assert checkpoint.learning_rate == 0.001
    config = tracin_dask.RunConfig.of(top_k=5)
    result = tracin_dask.run(store, checkpoint, [small.triples("test.txt")[0]], config=config)
    assert len(result.rankings[0].influence) == 5
    assert all(influence != 0 for influence in result.rankings[0].influence)


def test_about_half_of_the_relus_of_the_random_checkpoint_are_open(small):
    model = tracin_dask.load_checkpoint(small.folder / "model.pt").model
    entities, relations = small.ids("node_dict.txt"), small.ids("rel_dict.txt")
    pairs = torch.tensor([[entities[head], relations[label]] for head, label, _ in small.triples("train.txt")[:1000]])
    with torch.no_grad():
        features = model.bn1(model.conv1(model.bn0(model.image(*pairs.T))))
        projection = model.bn2(model.fc(torch.relu(features).flatten(start_dim=1)))
    for values in (features, projection):
        assert (values > 0).float().mean().item() == pytest.approx(0.5, abs=0.1)
    for norm in (model.bn0, model.bn1, model.bn2):
        assert (norm.running_mean != 0).all()
        assert (norm.running_var != 1).all()
