"""A relation map whose names put inverse relations elsewhere than the model's table is refused."""

import pytest
import torch
from conftest import random_model
from pykeen.models import ComplEx
from pykeen.triples import CoreTriplesFactory

from tracin_dask.errors import CheckpointError
from tracin_dask.models.conve.dialects import PYKEEN, TRAIN_PYTORCH, file_state
from tracin_dask.models.load import load_checkpoint
from tracin_dask.runs.prepare import prepare
from tracin_dask.triples.ingest import ingest

ENTITIES = "abcdef"
ALTERNATING = ["likes", "likes_inverse", "knows", "knows_inverse"]
APPENDED = ["likes", "knows", "likes_inverse", "knows_inverse"]
REFUSAL = (
    r"have relation r and its inverse in the rows 2r, 2r \+ 1, but the relation map .* in the rows r, R \+ r .*: "
    r"'likes' is 0 and 'likes_inverse' is 2\..* give the relation map of the training"
)


@pytest.fixture
def graph(tmp_path):
    def make(relations):
        (tmp_path / "e.tsv").write_text("".join(f"{label}\t{n}\n" for n, label in enumerate(ENTITIES)))
        (tmp_path / "r.tsv").write_text("".join(f"{label}\t{n}\n" for n, label in enumerate(relations)))
        (tmp_path / "train.txt").write_text(f"a\t{relations[0]}\tb\nb\t{relations[1]}\tc\n")
        maps = {"entity_to_id": tmp_path / "e.tsv", "relation_to_id": tmp_path / "r.tsv"}
        return ingest(tmp_path / "train.txt", tmp_path / f"{'-'.join(relations)}.zarr", **maps)

    return make


def conve(path, dialect, **more):
    """Write a ConvE of four relations in a dialect."""
    model = random_model(num_entities=len(ENTITIES), num_relations=4).float()
    tensors = model.state_dict() | {"entity_bias": torch.zeros(len(ENTITIES))}
    torch.save({"model_state_dict": file_state(tensors, dialect), **more}, path)
    height, width = (6, 4) if dialect.stacking == "height" else (4, 6)
    return load_checkpoint(path, embedding_height=height, embedding_width=width)


def complex_of_pykeen(path, *, is_whole):
    graph = CoreTriplesFactory(torch.zeros(1, 3, dtype=torch.int64), num_entities=len(ENTITIES), num_relations=4)
    model = ComplEx(triples_factory=graph, embedding_dim=3, random_seed=0)
    torch.save(model if is_whole else model.state_dict(), path)
    stated = {} if is_whole else {"description": {"model": "ComplEx", "model_kwargs": {"embedding_dim": 3}}}
    return load_checkpoint(path, trust_pickle=is_whole, **stated)


@pytest.mark.parametrize("kind", ["ConvE", "described", "whole"])
def test_a_pykeen_model_refuses_a_map_with_all_inverses_at_the_end(graph, tmp_path, kind):
    path = tmp_path / "model.pt"
    checkpoint = conve(path, PYKEEN) if kind == "ConvE" else complex_of_pykeen(path, is_whole=kind == "whole")
    with pytest.raises(CheckpointError, match=REFUSAL):
        prepare(graph(APPENDED), checkpoint, [(0, 0, 1)])
    assert prepare(graph(ALTERNATING), checkpoint, [(0, 0, 1)]).num_answers == 1


def test_a_checkpoint_that_states_these_maps_is_taken_whatever_their_names(graph, tmp_path):
    store = graph(APPENDED)
    checkpoint = conve(tmp_path / "model.pt", PYKEEN, id_maps_sha256=store.info.id_maps_sha256)
    assert prepare(store, checkpoint, [(0, 0, 1)]).num_answers == 1


def test_a_trainer_that_adds_no_inverses_takes_every_order(graph, tmp_path):
    checkpoint = conve(tmp_path / "model.pt", TRAIN_PYTORCH)
    for relations in (APPENDED, ALTERNATING):
        assert prepare(graph(relations), checkpoint, [(0, 0, 1)]).num_answers == 1


def test_a_map_of_half_the_relations_is_refused_with_the_order_of_the_table(graph, tmp_path):
    checkpoint = conve(tmp_path / "model.pt", PYKEEN)
    with pytest.raises(CheckpointError, match=r"with 4 relations, the id map has 2; .* in the rows 2r, 2r \+ 1"):
        prepare(graph(["likes", "knows"]), checkpoint, [(0, 0, 1)])
