"""The check against the oracle notices when P is left out of any product, or a term that only P makes."""

import pytest
from influence.agreement import Disagreement, check_scores, check_self_influence
from influence.dropped import drop, entries, noticed_uses
from influence.test_preconditioner import case
from influence.test_questions import LOSSES
from influence.test_terms_of_modes import under

from tracin_dask.influence.conve import preconditioned
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.tensor_names import ENTITIES, ENTITY_BIAS, FC_WEIGHT, RELATIONS
from tracin_dask.influence.conve.terms import at_all_scores, directions, fc_weight, squared_norm

ROWS = Modes()
OF_MODES = [
    *under("rows", entries(fc_weight, "SHARED_FEATURES", only=["features of the forward pass"])),
    *under("forward", entries(fc_weight, "SHARED_FEATURES"), table=True),
    *under("forward", entries(directions, "DIRECTION_TERMS", only=["fc.weight through P"]), table=True),
]
# The number of places where a tensor meets P, by the check, the loss and the tensor.
USES = {
    (check_scores, "bce", "bn2.bias"): 1,
    (check_scores, "bce", "bn2.weight"): 1,
    (check_scores, "bce", "fc.bias"): 1,
    (check_scores, "bce", FC_WEIGHT): 1,
    (check_scores, "bce", "conv1.weight"): 1,
    (check_scores, "bce", ENTITIES): 2,  # heads and tails
    (check_scores, "bce", RELATIONS): 1,
    (check_scores, "bce", ENTITY_BIAS): 1,
    (check_scores, "one-to-all", ENTITIES): 5,  # scores, first tails, later tails, heads of either side
    (check_scores, "one-to-all", ENTITY_BIAS): 1,
    (check_self_influence, "bce", "bn2.bias"): 1,
    (check_self_influence, "bce", FC_WEIGHT): 1,
    (check_self_influence, "bce", "conv1.weight"): 1,
    (check_self_influence, "bce", ENTITIES): 2,
    (check_self_influence, "bce", RELATIONS): 1,
    (check_self_influence, "one-to-all", ENTITIES): 3,  # scores, moved tails and heads
    (check_self_influence, "one-to-all", ENTITY_BIAS): 2,  # scores and moved tails
    (check_self_influence, "slcwa", "bn2.weight"): 1,
    (check_self_influence, "slcwa", FC_WEIGHT): 1,
    (check_self_influence, "slcwa", "conv1.weight"): 1,
    (check_self_influence, "slcwa", ENTITIES): 2,
    (check_self_influence, "slcwa", RELATIONS): 1,
}


def agrees(check, loss: str, tensor: str, modes: Modes = ROWS) -> bool:
    try:
        check(case("height", loss), [tensor], loss=LOSSES[loss][0], modes=modes)
    except Disagreement:
        return False
    return True


@pytest.mark.parametrize(("check", "loss", "tensor"), USES)
def test_influences_with_one_use_of_the_preconditioner_left_out_disagree(check, loss, tensor):
    noticed, _ = noticed_uses(lambda: agrees(check, loss, tensor))
    assert noticed == USES[check, loss, tensor]


@pytest.mark.parametrize(("modes", "module", "table", "term"), OF_MODES)
def test_scores_without_a_term_of_fc_weight_through_the_preconditioner_disagree(
    modes, module, table, term, monkeypatch
):
    assert agrees(check_scores, "bce", FC_WEIGHT, modes)
    drop(monkeypatch, module, table, term.name)
    assert not agrees(check_scores, "bce", FC_WEIGHT, modes)


@pytest.mark.parametrize(
    ("module", "table", "term"), entries(squared_norm, "DENSE_SQUARES", only=["fc.weight through P"])
)
def test_self_influences_without_fc_weight_through_the_preconditioner_disagree(module, table, term, monkeypatch):
    drop(monkeypatch, module, table, term.name)
    assert not agrees(check_self_influence, "bce", FC_WEIGHT)


@pytest.mark.parametrize(("module", "table", "term"), entries(at_all_scores, "ALL_SCORES_TERMS", but=["entity bias"]))
def test_scores_of_all_entities_through_the_preconditioner_without_a_term_disagree(module, table, term, monkeypatch):
    drop(monkeypatch, module, table, term.name)
    assert not agrees(check_scores, "one-to-all", ENTITIES)


@pytest.mark.parametrize(
    ("tensor", "in_order_of_the_module"),
    [(FC_WEIGHT, lambda scale, _: scale.T), ("conv1.weight", lambda scale, _: scale.flatten())],
)
def test_a_preconditioner_in_the_order_of_the_module_disagrees(tensor, in_order_of_the_module, monkeypatch):
    monkeypatch.setitem(preconditioned.LAYOUTS, tensor, in_order_of_the_module)
    assert not agrees(check_scores, "bce", tensor)
