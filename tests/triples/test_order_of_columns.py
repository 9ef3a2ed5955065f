"""A text whose columns seem to stand in another order is read, and its user is asked."""

from pathlib import Path

import pytest

from tracin_dask.models.training.graph import GraphFiles, read_graph
from tracin_dask.places.registry import place_of
from tracin_dask.triples.cached import Say
from tracin_dask.triples.ingest import IngestOptions, ingest
from tracin_dask.triples.preparing.whole_graph import whole_text

UMLS = Path(__file__).parents[1] / "data" / "umls" / "train.txt"
QUESTION = "132 of 132 relation labels are entities, too; are the columns head, relation and tail?"


def by_ingest(path: Path, folder: Path, say: Say) -> None:
    ingest(path, folder / "graph.zarr", options=IngestOptions(say=say, overwrite=True))


def by_graph(path: Path, _: Path, say: Say) -> None:
    whole_text(place_of(path), entity_to_id=None, relation_to_id=None, options=IngestOptions(say=say))


def by_train(path: Path, _: Path, say: Say) -> None:
    read_graph(GraphFiles(train=path), say)


@pytest.mark.parametrize("read", [by_ingest, by_graph, by_train])
def test_relation_labels_that_are_entities_are_asked_about(tmp_path, read):
    swapped = tmp_path / "swapped.txt"
    triples = [line.split("\t") for line in UMLS.read_text().splitlines()]
    swapped.write_text("".join(f"{head}\t{tail}\t{relation}\n" for head, relation, tail in triples))
    said, of_umls = list[str](), list[str]()
    read(swapped, tmp_path, said.append)
    assert [text for text in said if text.startswith(f"{swapped}: {QUESTION}")]
    (tmp_path / "other").mkdir()
    read(UMLS, tmp_path / "other", of_umls.append)
    assert not [text for text in of_umls if "relation labels" in text]


def test_integers_are_labels_of_relations_and_of_entities_without_a_question(tmp_path):
    path = tmp_path / "numbers.txt"
    path.write_text("".join(f"{number}\t{number % 4}\t{number + 1}\n" for number in range(20)))
    said: list[str] = []
    ingest(path, tmp_path / "graph.zarr", options=IngestOptions(labels=True, say=said.append))
    assert not [text for text in said if "relation labels" in text]
