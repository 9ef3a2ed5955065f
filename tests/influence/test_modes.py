"""Every way of computing what passes through the feature map gives the oracle's sums."""

import itertools

import pytest
import torch
from conftest import random_model
from influence.agreement import (
    DIALECTS,
    TEST,
    TRAIN,
    Disagreement,
    case_of,
    check_scores,
    engine_for,
    fresh_room,
    random_case,
)

from tracin_dask.influence import directions
from tracin_dask.influence.layout import Sees
from tracin_dask.influence.modes import Modes
from tracin_dask.influence.parameters import parameter_names

ALL_MODES = [
    Modes(forward=frozenset(some), relation_table=table)
    for number in range(4)
    for some in itertools.combinations(Sees, number)
    for table in (False, True)
    if not (table and Sees.RELATION in some)
]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("modes", ALL_MODES, ids=str)
def test_every_tensor_and_all_together_agree_with_the_oracle_in_every_mode(dialect, modes):
    case = random_case(dialect)
    for name in case.names:
        check_scores(case, [name], modes=modes)
    check_scores(case, case.names, modes=modes)


@pytest.mark.parametrize("modes", ALL_MODES[::3], ids=str)
def test_kernels_that_leave_no_region_to_one_image_work_in_every_mode(modes):
    sizes = {"kernel_height": 3, "kernel_width": 7, **DIALECTS["width"]}
    check_scores(case_of(random_model(**sizes)), parameter_names(random_model(**sizes).config), modes=modes)


@pytest.mark.parametrize("moved_bytes", [1, 20_000])
def test_moving_a_few_test_triples_at_a_time_changes_nothing_but_rounding(monkeypatch, moved_bytes):
    monkeypatch.setattr(directions, "MOVED_BYTES", moved_bytes)
    case = random_case("width")
    check_scores(case, case.names, modes=Modes(forward=frozenset(Sees)))


@pytest.mark.parametrize("modes", [Modes(forward=frozenset(Sees)), Modes(relation_table=True)], ids=str)
def test_recomputed_activations_and_empty_batches_work_in_every_mode(modes):
    model = random_model()
    kept, again = (engine_for(model, parameter_names(model.config), modes=modes, recompute=r) for r in (False, True))
    prepared = kept.prepare(TEST, batch_size=3)
    assert torch.equal(kept.score(TRAIN, prepared), again.score(TRAIN, prepared))
    assert kept.score(TRAIN[:0], prepared).shape == (0, len(TEST))


ENTITIES, RELATIONS = "entity_embeddings.weight", "relation_embeddings.weight"
# Each entry: the tensor whose gradient loses a part, the mode, the module, the text that is taken out, what is left.
TERMS = {
    "the head's own row": (ENTITIES, "forward", "directions", "(heads, h, embeddings.head, slice(0, dim)), ", ""),
    "the tail's row": (ENTITIES, "forward", "directions", ", (heads, t, embeddings.tail, slice(0, dim))", ""),
    "the relation's row": (RELATIONS, "forward", "directions", "+= image[here]", "+= 0"),
    "closed units": ("conv1.bias", "forward", "directions", "        moved.mul_(features > 0)\n", ""),
    "all directions": ("conv1.bias", "forward", "engine", "total += self._along", "self._along"),
    "the table": ("conv1.bias", "table", "engine", "total += test.relations", "test.relations"),
    "the table's rows": (
        RELATIONS,
        "table",
        "relation_table",
        " + _along_images(model, part, embeddings, tracked)",
        "",
    ),
    "the table's moments": ("conv1.bias", "table", "relation_table", "_directions(model, part, moments) + ", ""),
    "the table's closed units": ("conv1.bias", "table", "relation_table", "(weight * is_open)", "weight"),
    "the table's open rows": (RELATIONS, "table", "relation_table", "(moved * (features[key] > 0))", "moved"),
    "the table's overlap": ("fc.weight", "table", "passes", "product + known.product[pairs[:, 1]]", "product"),
}


@pytest.mark.parametrize("term", TERMS)
def test_scores_without_a_term_of_a_mode_disagree_with_the_oracle(term):
    tensor, mode, module, text, replacement = TERMS[term]
    case = random_case("width")

    def check(room) -> None:
        forward = frozenset(room["layout"].Sees) if mode == "forward" else frozenset()
        modes = room["modes"].Modes(forward=forward, relation_table=mode == "table")
        check_scores(case, [tensor], room, modes=modes)

    check(fresh_room())
    with pytest.raises(Disagreement):
        check(fresh_room([(module, text, replacement)]))


def test_modes_say_what_they_do():
    assert str(Modes()) == "pair product: backward (head, both, relation)"
    mixed = Modes(forward=frozenset({Sees.HEAD}), relation_table=True)
    assert str(mixed) == "pair product: forward (head), backward (both), once per relation (relation)"
