"""A loss of all scores of one's own, whose derivative by a score depends on all others, agrees with the oracle."""

import itertools
from functools import cache

import oracle
import pytest
import torch
from conftest import random_model
from influence.agreement import DIALECTS, TEST, TRAIN, Case, case_of, check_scores, check_self_influence, engine_for
from influence.tiled import tile
from torch import Tensor, nn

from tracin_dask.influence.columns import Question, Targets
from tracin_dask.influence.conve import whole_scores
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.normalised import question_lengths


class SoftMax:
    name = "softmax"
    reads = "all scores"

    def value(self, scores: Tensor, tails: Tensor) -> Tensor:
        return nn.functional.cross_entropy(scores, tails, reduction="none")


MODES = [Modes(all_scores=True), Modes(all_scores=True, relation_table=True)]
OTHER_TAILS = torch.tensor([2, 3, 5, 4, 6, 7, 8, 9])


def scales_of(model, seed: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: 0.5 + torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
        for name, tensor in model.named_parameters()
    }


@cache
def case(dialect: str, *, has_scales: bool = False, explain: str = "loss", is_contrast: bool = False) -> Case:
    model, loss = random_model(**DIALECTS[dialect]), oracle.of_all_scores(SoftMax().value)
    asked = loss if explain == "loss" else oracle.of_own_score(lambda scores: -scores)
    test = torch.column_stack([TEST, OTHER_TAILS]) if is_contrast else TEST
    theirs = oracle.of_contrast(asked) if is_contrast else asked
    return case_of(model, TRAIN, test, loss, theirs, scales=scales_of(model) if has_scales else None)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("modes", MODES, ids=str)
@pytest.mark.parametrize("has_scales", [False, True])
def test_losses_of_whole_scores_agree_with_the_oracle_for_every_tensor(dialect, modes, has_scales):
    wanted = case(dialect, has_scales=has_scales)
    for tracked in [*([name] for name in wanted.names), wanted.names, ["fc.weight", "fc.bias"]]:
        check_scores(wanted, tracked, loss=SoftMax(), modes=modes)
        check_self_influence(wanted, tracked, loss=SoftMax())


@pytest.mark.parametrize(("explain", "is_contrast"), list(itertools.product(["loss", "score"], [False, True]))[1:])
def test_scores_and_contrasts_under_losses_of_whole_scores_agree_with_the_oracle(explain, is_contrast):
    wanted = case("height", explain=explain, is_contrast=is_contrast)
    for tracked in [*([name] for name in wanted.names), wanted.names]:
        check_scores(wanted, tracked, loss=SoftMax(), explain=explain, modes=MODES[0])


def test_the_norm_of_a_contrast_under_whole_scores_is_that_of_the_difference():
    wanted = case("width", is_contrast=True)
    engine = engine_for(wanted.model, wanted.names, loss=SoftMax(), modes=MODES[0], learning_rate=1.0)
    targets = Targets(triples=TEST.numpy(), contrast_tails=OTHER_TAILS.numpy())
    found = question_lengths([engine], Question(is_contrast=True), targets).norms
    expected = torch.stack(list(wanted.test_norms.values())).norm(dim=0)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("rows_at_a_time", [1, 5])
def test_pieces_of_whole_scores_of_any_size_agree_with_the_oracle(monkeypatch, rows_at_a_time):
    num_entities = random_model().config.num_entities
    tile(monkeypatch, score_bytes=rows_at_a_time * whole_scores.HELD * num_entities * 8)
    wanted = case("height")
    check_scores(wanted, wanted.names, loss=SoftMax(), modes=MODES[0])
    check_self_influence(wanted, wanted.names, loss=SoftMax())
