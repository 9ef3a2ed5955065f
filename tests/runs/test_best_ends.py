"""The best heads: as tails of inverse relations, or scored one by one; known ones are left out in both directions."""

import numpy as np
import pytest
import torch
from influence.any_model import TailsBilinear
from small_graph import NUM_ENTITIES, NUM_RELATIONS, save_checkpoint, small_model

from tracin_dask.models.description import ModelDescription
from tracin_dask.models.load import load_checkpoint
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.predictions import here
from tracin_dask.runs.predictions.best import Among, AskedEnds, best_ends
from tracin_dask.runs.predictions.made import predictions_of
from tracin_dask.runs.prepare import prepare
from tracin_dask.triples.ingest import ingest

CONFIG = RunConfig.of(mode="self", precision="float64")


@pytest.fixture(scope="module")
def doubled(graph, tmp_path_factory):
    """The small graph with a name for the inverse of every relation, and some of its triples backwards only."""
    folder = tmp_path_factory.mktemp("doubled")
    backwards = graph.lines[::2][:, ::-1] + np.array([0, NUM_RELATIONS, 0])
    lines = np.concatenate([graph.lines[1::2], backwards])
    (folder / "train.txt").write_text("".join("\t".join(map(str, line)) + "\n" for line in lines.tolist()))
    relations = [f"kind{number}" for number in range(NUM_RELATIONS)]
    labels = {"entity": [f"thing{number}" for number in range(NUM_ENTITIES)]}
    labels["relation"] = [*relations, *(f"{name}_reverse" for name in relations)]
    maps = {f"{kind}_to_id": folder / f"{kind}.tsv" for kind in labels}
    for kind, names in labels.items():
        maps[f"{kind}_to_id"].write_text("".join(f"{name}\t{number}\n" for number, name in enumerate(names)))
    return ingest(folder / "train.txt", folder / "graph.zarr", **maps)


def test_heads_are_tails_of_inverse_relations_and_known_in_both_directions(doubled, graph, tmp_path):
    model = small_model(seed=6, num_relations=2 * NUM_RELATIONS)
    checkpoint = load_checkpoint(save_checkpoint(tmp_path / "doubled.pt", model), dtype=torch.float64)
    _, relation, tail = graph.lines[0].tolist()
    asked = AskedEnds(role="head", entity=tail, relation=relation)
    (found,) = best_ends(prepare(doubled, checkpoint, config=CONFIG), [asked], Among(top=NUM_ENTITIES))
    with torch.no_grad():
        pair = torch.tensor([[tail, relation + NUM_RELATIONS]])
        scores = checkpoint.model.score_tails(pair)[0].numpy()
    known = {int(head) for head, kind, end in graph.lines if (kind, end) == (relation, tail)}
    expected = [head for head in np.argsort(-scores, kind="stable").tolist() if head not in known]
    assert known
    assert found.triples[:, 0].tolist() == expected
    assert (found.triples[:, 1:] == [relation, tail]).all()
    assert found.ranks.filtered.tolist() == list(range(1, len(expected) + 1))
    np.testing.assert_allclose(found.score, scores[expected], rtol=1e-12)


def test_listed_heads_of_any_model_have_the_scores_and_ranks_of_given_triples(graph, tmp_path):
    torch.manual_seed(1)
    torch.save(TailsBilinear(NUM_ENTITIES, NUM_RELATIONS).state_dict(), tmp_path / "any.pt")
    description = ModelDescription(model=TailsBilinear)
    checkpoint = load_checkpoint(tmp_path / "any.pt", description=description, dtype=torch.float64)
    _, relation, tail = graph.lines[0].tolist()
    asked = AskedEnds(role="head", entity=tail, relation=relation)
    chosen = np.arange(NUM_ENTITIES) % 3 > 0
    (found,) = best_ends(
        prepare(graph.store, checkpoint, config=CONFIG), [asked], Among(top=9, entities=chosen, keep_known=True)
    )
    prepared = prepare(graph.store, checkpoint, found.triples, config=RunConfig.of(precision="float64"))
    stated, _ = predictions_of(prepared, lambda parts: here.score_here(prepared, parts))
    assert len(found.triples) == 9
    assert chosen[found.triples[:, 0]].all()
    np.testing.assert_allclose(found.score, stated.score, rtol=1e-12)
    assert found.ranks.filtered.tolist() == stated.head_ranks.filtered.tolist()
    assert found.ranks.raw.tolist() == stated.head_ranks.raw.tolist()
    assert found.num_candidates == chosen.sum()
    assert (np.diff(found.score) <= 0).all()


def test_a_list_may_be_empty(graph, tmp_path):
    checkpoint = load_checkpoint(save_checkpoint(tmp_path / "m.pt", small_model()), dtype=torch.float64)
    head, relation, tail = graph.lines[0].tolist()
    only = np.arange(NUM_ENTITIES) == tail
    (found,) = best_ends(
        prepare(graph.store, checkpoint, config=CONFIG),
        [AskedEnds(role="tail", entity=head, relation=relation)],
        Among(top=3, entities=only),
    )
    assert (len(found.triples), len(found.ranks.raw), found.num_candidates) == (0, 0, 0)
