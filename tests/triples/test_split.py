"""A split is a partition without leaks that depends on the triples, the options and the seed alone."""

import random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from whole_graphs import graph_of, triples_of

from tracin_dask.errors import ConfigError
from tracin_dask.triples.preparing.split import (
    DUPLICATE,
    INVERSE_PAIR,
    SAME_PAIR,
    TEST,
    TRAIN,
    VALID,
    SplitOptions,
    UntrainedError,
    split_graph,
)

ENTITIES, RELATIONS = [f"e{number:02d}" for number in range(14)], ["r0", "r1", "r2"]
LINE = st.tuples(st.sampled_from(ENTITIES), st.sampled_from(RELATIONS), st.sampled_from(ENTITIES))
OPTIONS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 5),
        "valid": st.sampled_from([0, 0.1, 0.3, 3]),
        "test": st.sampled_from([0.1, 0.3, 4]),
        "of_relation": st.sampled_from([(), (0,), (0, 2)]),
        "by": st.sampled_from(["triple", "head", "tail", "pair"]),
        "remove_pairs": st.sampled_from(["any", "same", "inverse", "none"]),
    }
)


def split_of(lines, options, kept=None):
    """Split, and give the triples of every part by their labels."""
    graph = graph_of(lines, ENTITIES, RELATIONS)
    split = split_graph(graph, options, kept)
    return {code: triples_of(graph, np.flatnonzero(split.part == code)) for code in range(6)}, split


def attempt(lines, options):
    try:
        return split_of(lines, options)
    except ConfigError:
        assume(False)  # so few triples cannot be split so
        raise


@settings(max_examples=40)
@given(st.lists(LINE, min_size=25, max_size=120), OPTIONS)
def test_parts_are_disjoint_and_make_up_the_input_without_what_was_removed(lines, options):
    options = SplitOptions(**options)
    parts, _ = attempt(lines, options)
    assert sum(map(len, parts.values())) == len(lines)
    distinct = [triple for code in (TRAIN, VALID, TEST, SAME_PAIR, INVERSE_PAIR) for triple in parts[code]]
    assert len(distinct) == len(set(distinct))
    assert set(distinct) == set(lines)
    assert set(parts[DUPLICATE]) <= set(lines)


@settings(max_examples=40)
@given(st.lists(LINE, min_size=25, max_size=120), OPTIONS)
def test_nothing_leaks_and_everything_that_is_held_out_is_trained(lines, options):
    options = SplitOptions(**options)
    parts, _ = attempt(lines, options)
    held, training = parts[VALID] + parts[TEST], parts[TRAIN]
    same, turned = {(h, t) for h, _, t in held}, {(t, h) for h, _, t in held}
    pairs = {(h, t) for h, _, t in training}
    assert options.remove_pairs not in {"any", "same"} or not pairs & same
    assert options.remove_pairs not in {"any", "inverse"} or not pairs & turned
    assert {end for h, _, t in held for end in (h, t)} <= {end for h, _, t in training for end in (h, t)}
    assert {r for _, r, _ in held} <= {r for _, r, _ in training}
    assert all((h, t) in same for h, _, t in parts[SAME_PAIR])
    assert all((h, t) in turned for h, _, t in parts[INVERSE_PAIR])


@settings(max_examples=40)
@given(st.lists(LINE, min_size=25, max_size=120), OPTIONS)
def test_units_stay_together_and_only_the_named_relations_are_held_out(lines, options):
    options = SplitOptions(**options)
    parts, split = attempt(lines, options)
    allowed = {RELATIONS[number] for number in options.of_relation} or set(RELATIONS)
    unit = {
        "triple": lambda triple: triple,
        "head": lambda triple: triple[0],
        "tail": lambda triple: triple[2],
        "pair": lambda triple: frozenset((triple[0], triple[2])),
    }[options.by]
    of_part = {code: {unit(triple) for triple in parts[code] if triple[1] in allowed} for code in (TRAIN, VALID, TEST)}
    assert not of_part[VALID] & of_part[TEST]
    assert not of_part[TRAIN] & (of_part[VALID] | of_part[TEST])
    assert {triple[1] for code in (VALID, TEST) for triple in parts[code]} <= allowed
    assert len(parts[VALID]) <= split.wanted_valid
    assert len(parts[TEST]) <= split.wanted_test


@settings(max_examples=20)
@given(st.lists(LINE, min_size=25, max_size=120), OPTIONS, st.randoms(use_true_random=False))
def test_the_order_of_lines_and_of_ids_and_repeated_lines_change_nothing(lines, options, shuffle: random.Random):
    options = SplitOptions(**options)
    parts, _ = attempt(lines, options)
    others = [*lines, *lines[:5]]
    shuffle.shuffle(others)
    entities = ENTITIES.copy()
    shuffle.shuffle(entities)
    graph = graph_of(others, entities, RELATIONS)
    split = split_graph(graph, options)
    for code in (TRAIN, VALID, TEST, SAME_PAIR, INVERSE_PAIR):
        assert set(triples_of(graph, np.flatnonzero(split.part == code))) == set(parts[code])


LINES = [(a, r, b) for a in ENTITIES for b in ENTITIES if a < b for r in RELATIONS[: 1 + (len(a + b) + ord(b[2])) % 2]]


def test_another_seed_gives_another_split_of_the_wanted_size():
    options = [SplitOptions(seed=seed, valid=5, test=0.1, remove_pairs="none") for seed in (1, 2, 1)]
    first, other, again = (split_of(LINES, one)[0] for one in options)
    assert first == again
    assert set(first[TEST]) != set(other[TEST])
    assert (len(first[VALID]), len(first[TEST])) == (5, round(0.1 * len(LINES)))


def test_a_split_does_not_depend_on_the_version_of_any_generator():
    lines = [(f"a{one}", "r", f"b{two}") for one in range(4) for two in range(4)]
    graph = graph_of(lines)
    split = split_graph(graph, SplitOptions(seed=0, valid=1, test=2, remove_pairs="none"))
    found = {code: triples_of(graph, np.flatnonzero(split.part == code)) for code in (VALID, TEST)}
    assert found == PINNED


PINNED = {VALID: [("a3", "r", "b1")], TEST: [("a0", "r", "b2"), ("a3", "r", "b0")]}


@pytest.mark.parametrize(("by", "together"), [("triple", ()), ("head", (0,)), ("tail", (2,)), ("pair", (0, 2))])
def test_kept_triples_and_all_that_go_with_them_are_test_triples(by, together):
    kept = next(row for row, line in enumerate(LINES) if line[0] == "e05")
    graph = graph_of(LINES, ENTITIES, RELATIONS)
    options = SplitOptions(seed=3, valid=0.05, test=0.4, by=by, remove_pairs="none")
    parts, split = split_of(LINES, options, graph.triples[[kept]])
    own = [line for line in LINES if together and all(line[place] == LINES[kept][place] for place in together)]
    assert {LINES[kept], *own} <= set(parts[TEST])
    assert split.num_kept == max(len(own), 1)
    assert len(parts[TEST]) <= split.wanted_test


def test_a_kept_triple_whose_entity_would_have_no_training_triple_is_refused():
    lines = [*LINES, ("only", "r0", "e01")]
    graph = graph_of(lines)
    with pytest.raises(UntrainedError, match=r"its head or tail would have no training triple left; leave it out"):
        split_graph(graph, SplitOptions(valid=0, test=1), graph.triples[-1:])


def test_drawn_triples_whose_entity_would_vanish_stay_in_training_and_others_are_drawn():
    lines = [*LINES, *((f"single{number}", "r0", "e01") for number in range(200))]
    parts, split = split_of_any(lines, SplitOptions(valid=0, test=40, remove_pairs="none"))
    assert split.num_returned > 20
    assert len(parts[TEST]) == 40
    assert not any(head.startswith("single") for head, _, _ in parts[TEST])


def split_of_any(lines, options):
    graph = graph_of(lines)
    split = split_graph(graph, options)
    return {code: triples_of(graph, np.flatnonzero(split.part == code)) for code in range(6)}, split


def test_a_relation_all_of_whose_triples_were_removed_is_named():
    lines = [*LINES, ("e00", "copy", "e01")]
    graph = graph_of(lines)
    kept = graph.triples[:1]
    assert lines[0][0::2] == ("e00", "e01")
    split = split_graph(graph, SplitOptions(valid=0, test=1), kept)
    assert [graph.relations.label(number) for number in split.lost_relations] == ["copy"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"valid": 10**6}, "1,000,000 validation and .* are asked for, but only"),
        ({"by": "head", "valid": 0, "test": 1}, "no triple can be held out as --test: each head has more triples"),
    ],
)
def test_splits_that_cannot_be_made_are_refused(options, message):
    lines = [(a, r, b) for a, r, b in LINES if a < "e03"]
    with pytest.raises(ConfigError, match=message):
        split_of_any(lines, SplitOptions(**{"seed": 1, "remove_pairs": "none"} | options))


def test_a_graph_all_of_whose_triples_are_needed_in_training_is_refused():
    with pytest.raises(ConfigError, match="no triple can be held out as --valid: all of them are needed in training"):
        split_of_any([("hub", "r", f"leaf{number}") for number in range(9)], SplitOptions(valid=1, test=0))
