"""Influences averaged over several trainings, and how much each differs between them."""

import json
import re

import numpy as np
import pytest
import torch
from distributed import Client
from result_bits import result_bits
from small_graph import Graph, MakeJob, bits, save_checkpoint, small_model

from tracin_dask.errors import CheckpointError
from tracin_dask.models.load import load_checkpoint
from tracin_dask.report.formats import read_result

TOP = 700


@pytest.fixture(scope="module")
def trainings(graph: Graph):
    """Three trainings of two checkpoints each."""
    found = []
    for training in range(3):
        paths = [
            save_checkpoint(graph.folder / f"training_{training}_{epoch}.pt", small_model(10 * training + epoch))
            for epoch in range(2)
        ]
        found.append([load_checkpoint(path, dtype=torch.float64) for path in paths])
    return found


def by_line(result) -> np.ndarray:
    found = np.zeros((TOP, len(result.rankings)))
    for index, ranking in enumerate(result.rankings):
        found[ranking.train_index, index] = ranking.influence
    return found


@pytest.mark.parametrize("options", [{}, {"curvature": "rows"}, {"curvature": "landmarks", "landmarks": 60}])
def test_an_ensemble_is_the_mean_over_trainings_with_its_standard_deviation(make_job: MakeJob, trainings, options):
    options = {"precision": "float64", "top_k": TOP} | options
    apart = np.stack([by_line(make_job(model=one, **options).carry_out()) for one in trainings])
    result = make_job(model=trainings, **options).carry_out()
    scale = np.abs(apart).max()
    np.testing.assert_allclose(by_line(result), apart.mean(axis=0), rtol=1e-9, atol=1e-12 * scale)
    for index, ranking in enumerate(result.rankings):
        expected = apart[:, ranking.train_index, index].std(axis=0, ddof=1)
        np.testing.assert_allclose(result.spread[index], expected, rtol=1e-7, atol=1e-9 * scale)
    assert result.contributions is None
    assert [one["training"] for one in result.run["checkpoints"]] == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("normalize", ["none", "cosine"])
def test_proponents_and_opponents_beside_a_list_have_a_spread_too(make_job: MakeJob, trainings, normalize):
    options = {"precision": "float64", "normalize": normalize}
    whole = make_job(model=trainings, top_k=TOP, **options).carry_out()
    result = make_job(model=trainings, top_k=10, **options).carry_out()
    for index, further in enumerate(result.further):
        assert len(further) > 3
        of_line = dict(zip(whole.rankings[index].train_index.tolist(), whole.spread[index], strict=True))
        for ranked, spread in ((result.rankings[index], result.spread[index]), (further, result.further_spread[index])):
            expected = [of_line[line] for line in ranked.train_index.tolist()]
            np.testing.assert_allclose(spread, expected, rtol=1e-6, atol=1e-12)
    shown = json.loads(json.dumps(result.to_dict()))
    assert all(entry["influence_spread"] >= 0 for entry in shown["further_influences"])


def test_spread_and_contributions_are_read_back(make_job: MakeJob, trainings, tmp_path):
    job = make_job(model=trainings, precision="float64", checkpoint_contributions=True, normalize="cosine")
    result = job.carry_out()
    result.write_directory(tmp_path)
    again = read_result(tmp_path)
    assert result_bits(again) == result_bits(result)
    for ours, theirs in zip(result.spread, again.spread, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    (first, *_) = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("triple_*.json"))]
    assert {"influence_spread", "influence_by_checkpoint"} <= first["influences"][0].keys()


def test_one_training_has_no_spread(make_job: MakeJob, trainings):
    result = make_job(model=trainings[0], precision="float64").carry_out()
    assert result.spread is None
    assert "training" not in result.run["checkpoints"][0]


def test_workers_give_the_same_bits(make_job: MakeJob, trainings, client: Client):
    job = make_job(model=trainings, precision="float64", curvature="rows")
    here, there = job.carry_out(), job.carry_out(client)
    assert bits(here) == bits(there)
    for ours, theirs in zip(here.spread, there.spread, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_trainings_of_other_models_and_the_same_training_twice_are_refused(make_job: MakeJob, graph, trainings):
    with pytest.raises(CheckpointError, match=re.escape("an ensemble is of different trainings")):
        make_job(model=[trainings[0], trainings[0]], precision="float64")
    path = save_checkpoint(graph.folder / "larger.pt", small_model(5, output_channels=4))
    larger = load_checkpoint(path, dtype=torch.float64)
    with pytest.raises(CheckpointError, match="an ensemble is of trainings of one model"):
        make_job(model=[trainings[0], [larger]], precision="float64")
    with pytest.raises(CheckpointError, match="no checkpoint is given"):
        make_job(model=[trainings[0], []], precision="float64")
