"""Inverse relations are recognised by their names, and their order in a relation map by their ids."""

import pytest

from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.inverse_relations import inverses_of, order_of, pair_out_of_order
from tracin_dask.types import ALTERNATING, APPENDED

FORMS = ["{}_inverse", "{}_reverse", "{}_reciprocal", "INVERSE_{}", "inverse_{}", "{}_inv", "~{}", "{}~", "rev_{}"]


def alternating(form):
    return IdMap.of([label for name in ("a", "b", "c") for label in (name, form.format(name))])


def appended(form):
    return IdMap.of([*"abc", *(form.format(name) for name in "abc")])


@pytest.mark.parametrize("form", FORMS)
def test_both_orders_of_inverse_relations_are_recognised_in_every_form_of_names(form):
    assert order_of(alternating(form)) == ALTERNATING
    assert order_of(appended(form)) == APPENDED
    assert pair_out_of_order(alternating(form), ALTERNATING) is None
    assert pair_out_of_order(appended(form), APPENDED) is None


@pytest.mark.parametrize("form", FORMS)
def test_the_first_pair_out_of_order_is_named_with_its_ids(form):
    inverse = form.format("a")
    assert str(pair_out_of_order(appended(form), ALTERNATING)) == f"'a' is 0 and {inverse!r} is 3"
    assert str(pair_out_of_order(alternating(form), APPENDED)) == f"'a' is 0 and {inverse!r} is 1"


@pytest.mark.parametrize(
    "labels",
    [
        ["isa", "inverse_isa", "part_of"],
        ["part_of", "inverse_isa", "isa", "likes"],
        ["a_inverse", "b_inverse"],
        ["a", "b"],
    ],
)
def test_a_graph_with_some_relations_that_are_called_inverse_is_not_judged(labels):
    assert order_of(IdMap.of(labels)) is None
    assert pair_out_of_order(IdMap.of(labels), ALTERNATING) is None


def test_inverses_before_their_relations_are_of_no_order():
    labels = IdMap.of(["a_inverse", "a", "b_inverse", "b"])
    assert order_of(labels) is None
    assert str(pair_out_of_order(labels, ALTERNATING)) == "'a' is 1 and 'a_inverse' is 0"


def test_one_relation_and_its_inverse_are_of_both_orders():
    labels = IdMap.of(["a", "a_inverse"])
    assert pair_out_of_order(labels, ALTERNATING) is None
    assert pair_out_of_order(labels, APPENDED) is None


@pytest.mark.parametrize("form", FORMS)
def test_every_relation_and_its_inverse_are_each_others_inverses(form):
    assert inverses_of(alternating(form)).tolist() == [1, 0, 3, 2, 5, 4]
    assert inverses_of(appended(form)).tolist() == [3, 4, 5, 0, 1, 2]


@pytest.mark.parametrize("labels", [["isa", "inverse_isa", "part_of"], ["a", "b"], ["a", "a_inverse", "a_inverse_inv"]])
def test_a_map_without_an_inverse_of_every_relation_has_no_inverses(labels):
    assert inverses_of(IdMap.of(labels)) is None
