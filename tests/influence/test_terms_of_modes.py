"""The check against the oracle notices when any term is left out that one way of computing has and another has not."""

from dataclasses import fields, replace

import pytest
import torch
from influence.agreement import Disagreement, check_scores, random_case
from influence.dropped import drop, entries

from tracin_dask.influence.conve import forward_mode, jacobians, lower_factors, own_moves
from tracin_dask.influence.conve.jacobians import RelationTable
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.tensor_names import BN2_WEIGHT, CONVOLUTION, ENTITIES, FC_WEIGHT
from tracin_dask.influence.conve.terms import dense, directions, long_runs, rows

WAYS = {
    "rows": Modes(),
    "heads": Modes(head_jacobians=True),
    "long runs": Modes(long_run=1),
    "forward": Modes(forward=True),
    "norms": Modes(norms=True),
}
WITH_TABLE = {name: replace(modes, relation_table=True) for name, modes in WAYS.items() if not modes.norms}
P_ALONE = "fc.weight through P"  # where there is a preconditioner


def under(way: str, params: list, *, table: bool = False) -> list:
    """Give parameters of tests, each behind the modes of a way."""
    modes = (WITH_TABLE if table else WAYS)[way]
    name = f"{way}, relation table" if table else way
    return [pytest.param(modes, *p.values, id=f"{name}: {p.id}".replace(" ", "-")) for p in params]


TERMS = [
    *under("forward", entries(directions, "DIRECTION_TERMS", but=[P_ALONE, "features of the relation table"])),
    *under("forward", entries(directions, "DIRECTION_TERMS", but=[P_ALONE]), table=True),
    *under("forward", entries(forward_mode, "MOVED_EMBEDDINGS")),
    *under("forward", entries(own_moves, "OWN_MOVES")),
    *under("forward", entries(own_moves, "OWN_MOVES"), table=True),
    *under("forward", entries(dense, "CONSTANTS")),
    *under("long runs", entries(dense, "CONSTANTS")),
    *under("long runs", entries(long_runs, "LONG_RUN_TERMS")),
    *under("long runs", entries(long_runs, "PAIR_JACOBIANS", but=["relation table"])),
    *under("long runs", entries(long_runs, "PAIR_JACOBIANS", but=["region of the relation"]), table=True),
    *under("long runs", entries(lower_factors, "REGION_TERMS", but=["moments"])),
    *under("norms", entries(lower_factors, "REGION_TERMS")),
    *under("norms", entries(rows, "ROW_TERMS", but=["entity bias"])),
    *under("heads", entries(own_moves, "OWN_MOVES")),
    *under("heads", entries(lower_factors, "LOWER_TERMS", but=["moments through the relations' Jacobians"])),
    *under("rows", entries(lower_factors, "LOWER_TERMS", but=["moments through the heads' Jacobians"]), table=True),
]
CLOSED_UNITS = {  # the module, the way, the tensors that notice
    "moved features": (forward_mode, "forward", CONVOLUTION),
    "own moves in forward mode": (own_moves, "forward", {ENTITIES}),
    "own moves of rows": (own_moves, "heads", {ENTITIES}),
    "Jacobians of heads": (jacobians, "heads", CONVOLUTION),
    "Jacobians of pairs": (jacobians, "long runs", CONVOLUTION),
}
RELATION_TABLE = {  # the field, the way, the tensors that notice
    "projected, rows": ("projected", "rows", {BN2_WEIGHT}),
    "features, rows": ("features", "rows", {FC_WEIGHT}),
    "features, forward": ("features", "forward", {FC_WEIGHT}),
    "Jacobian, rows": ("jacobian", "rows", CONVOLUTION),
    "Jacobian, forward": ("jacobian", "forward", CONVOLUTION),
    "Jacobian, long runs": ("jacobian", "long runs", CONVOLUTION),
}


def refuse(tensors, modes, **options):
    """See that influences of some tensors, and of all of them, disagree."""
    case = random_case("width")
    for tracked in (sorted(set(case.names) & tensors), case.names):
        with pytest.raises(Disagreement):
            check_scores(case, tracked, modes=modes, **options)


@pytest.mark.parametrize(("modes", "module", "table", "term"), TERMS)
def test_scores_without_a_term_of_a_mode_disagree_with_the_oracle(modes, module, table, term, monkeypatch):
    drop(monkeypatch, module, table, term.name)
    refuse(term.tensors, modes)


@pytest.mark.parametrize("use", CLOSED_UNITS)
def test_scores_through_closed_units_disagree_with_the_oracle(use, monkeypatch):
    module, way, tensors = CLOSED_UNITS[use]
    monkeypatch.setattr(module, "relu_derivative", torch.ones_like)
    refuse(tensors, WAYS[way])


@pytest.mark.parametrize("use", RELATION_TABLE)
def test_scores_with_zeros_in_the_relation_table_disagree_with_the_oracle(use):
    field, way, tensors = RELATION_TABLE[use]

    def without(engine):
        zeros = torch.zeros_like(getattr(engine.relations, field))
        return replace(engine, relations=replace(engine.relations, **{field: zeros}))

    refuse(tensors, WITH_TABLE[way], change=without)


def test_every_field_of_the_relation_table_is_seen_to_count():
    assert {field for field, _, _ in RELATION_TABLE.values()} == {field.name for field in fields(RelationTable)}
