"""The check against the oracle notices when any term of the products is left out."""

from importlib import import_module

import pytest
import torch
from influence.agreement import Disagreement, check_scores, check_self_influence, random_case
from influence.dropped import LISTED, drop, entries, every_entry

from tracin_dask.influence import id_join
from tracin_dask.influence.conve import backward_pass, forward_pass, lower_factors
from tracin_dask.influence.conve.tensor_names import BELOW_PROJECTION, ENTITIES, INSIDE
from tracin_dask.influence.conve.terms import convolution, dense, rows, squared_norm

OF_BOTH = [
    *entries(dense, "PROJECTION_WEIGHTS"),
    *entries(dense, "SIDE_BY_SIDE"),
    *entries(convolution, "CONVOLUTION_TERMS"),
    *entries(convolution, "NORMALISED_CONSTANT"),
    *entries(lower_factors, "REGION_TERMS"),
]
OF_SCORES = entries(rows, "ROW_TERMS")
OF_SQUARES = [
    *entries(squared_norm, "DENSE_SQUARES", but=["fc.weight through P"]),  # where there is a preconditioner
    *entries(squared_norm, "ROW_SQUARES"),
]
CHECKS = [check_scores, check_self_influence]


def refuse(check, tensors):
    """See that influences of some tensors, and of all of them, disagree."""
    case = random_case("height")
    for tracked in (sorted(set(case.names) & tensors), case.names):
        with pytest.raises(Disagreement):
            check(case, tracked)


@pytest.mark.parametrize("check", CHECKS)
def test_influences_with_every_term_agree_with_the_oracle(check):
    case = random_case("height")
    for tracked in [*([name] for name in case.names), case.names]:
        check(case, tracked)


@pytest.mark.parametrize(("module", "table", "term"), OF_BOTH + OF_SCORES)
def test_scores_without_a_term_disagree_with_the_oracle(module, table, term, monkeypatch):
    drop(monkeypatch, module, table, term.name)
    refuse(check_scores, term.tensors)


@pytest.mark.parametrize(("module", "table", "term"), OF_BOTH + OF_SQUARES)
def test_self_influences_without_a_term_disagree_with_the_oracle(module, table, term, monkeypatch):
    drop(monkeypatch, module, table, term.name)
    refuse(check_self_influence, term.tensors)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(("module", "tensors"), [(forward_pass, INSIDE), (backward_pass, BELOW_PROJECTION)])
def test_influences_through_closed_units_disagree_with_the_oracle(module, tensors, check, monkeypatch):
    monkeypatch.setattr(module, "relu_derivative", torch.ones_like)
    for tensor in tensors & set(random_case("height").names):
        refuse(check, {tensor})


def test_products_of_rows_with_different_ids_disagree_with_the_oracle(monkeypatch):
    monkeypatch.setattr(id_join, "is_same", lambda left, right: torch.ones(len(left), len(right), dtype=torch.bool))
    refuse(check_scores, {ENTITIES})


def test_self_influences_with_the_head_taken_for_the_tail_disagree_with_the_oracle(monkeypatch):
    monkeypatch.setattr(squared_norm, "is_loop", lambda rows: torch.ones_like(rows.tail_bias))
    refuse(check_self_influence, {ENTITIES})


def test_every_entry_of_every_table_is_left_out_by_a_test():
    for file in ("gradients", "modes", "all_scores", "preconditioner", "sums"):
        import_module(f"influence.test_terms_of_{file}")
    assert len(LISTED) > 50
    assert every_entry() == LISTED
