"""The ranks of the test triples of UMLS are those of plain PyTorch, triple by triple."""

from pathlib import Path

import numpy as np
import torch
from conftest import random_model
from small_graph import save_checkpoint

from tracin_dask.launch.run import run
from tracin_dask.models.load import load_checkpoint
from tracin_dask.runs.config import RunConfig
from tracin_dask.triples.ingest import ingest

UMLS = Path(__file__).parents[1] / "data" / "umls"


def read(name: str) -> list[list[str]]:
    return [line.split("\t") for line in (UMLS / name).read_text().splitlines()]


def plain_ranks(scores: torch.Tensor, tail: int, known: set[int]) -> tuple[float, float]:
    """Give the raw and the filtered rank of a tail by sorting: the mean of the places of its score."""
    found = []
    for left_out in (set(), known - {tail}):
        values = [score for entity, score in enumerate(scores.tolist()) if entity not in left_out]
        places = [place for place, value in enumerate(sorted(values, reverse=True), 1) if value == scores[tail].item()]
        found.append(sum(places) / len(places))
    return found[0], found[1]


def test_ranks_on_umls_equal_those_of_plain_pytorch(tmp_path):
    train, tests = read("train.txt"), read("test.txt")
    entities = sorted({label for head, _, tail in train for label in (head, tail)})
    relations = sorted({relation for _, relation, _ in train})
    maps = {}
    for kind, labels in (("entity", entities), ("relation", relations)):
        maps[f"{kind}_to_id"] = tmp_path / f"{kind}.tsv"
        maps[f"{kind}_to_id"].write_text("".join(f"{label}\t{number}\n" for number, label in enumerate(labels)))
    store = ingest(UMLS / "train.txt", tmp_path / "graph.zarr", **maps)
    model = random_model(4, num_entities=len(entities), num_relations=len(relations)).float()
    with torch.no_grad():
        model.entity_embeddings.weight[30:60] = model.entity_embeddings.weight[30]
    checkpoint = load_checkpoint(save_checkpoint(tmp_path / "model.pt", model), dtype=torch.float64)
    result = run(store, checkpoint, tests, config=RunConfig.of(precision="float64", audit=0, parameters=("bn2.*",)))

    ids = np.array([[entities.index(h), relations.index(r), entities.index(t)] for h, r, t in tests])
    known: dict[tuple[int, int], set[int]] = {}
    for head, relation, tail in train:
        known.setdefault((entities.index(head), relations.index(relation)), set()).add(entities.index(tail))
    with torch.no_grad():
        scores = checkpoint.model(*torch.from_numpy(ids[:, :2]).unbind(dim=1))
    expected = [
        plain_ranks(of_one, tail, known.get((head, relation), set()))
        for of_one, (head, relation, tail) in zip(scores, ids.tolist(), strict=True)
    ]
    assert len(expected) == 661
    ranks = result.predictions.tail_ranks
    assert list(zip(ranks.raw.tolist(), ranks.filtered.tolist(), strict=True)) == expected
    own = scores.gather(1, torch.from_numpy(ids[:, 2:]))[:, 0].numpy()
    np.testing.assert_allclose(result.predictions.score, own, rtol=1e-10, atol=1e-12)
    assert not any(map(len, result.predictions.train_index)), "no test triple of UMLS is a training triple"
