"""Every way of computing what passes through the feature map gives the oracle's sums."""

from dataclasses import replace

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
    scores,
)

from tracin_dask.influence.conve import jacobians
from tracin_dask.influence.conve.modes import Modes

WAYS = [
    Modes(),
    Modes(forward=True),
    Modes(head_jacobians=True),
    Modes(long_run=2),
    Modes(head_jacobians=True, long_run=1),
]
ALL_MODES = [replace(modes, relation_table=table) for modes in WAYS for table in (False, True)]


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
    check_scores(case_of(random_model(**sizes)), random_model(**sizes).config.parameter_names, modes=modes)


@pytest.mark.parametrize("chunk_bytes", [1, 20_000])
@pytest.mark.parametrize("modes", [Modes(head_jacobians=True), Modes(long_run=1)], ids=str)
def test_a_few_jacobians_at_a_time_change_nothing_but_rounding(monkeypatch, modes, chunk_bytes):
    monkeypatch.setattr(jacobians, "CHUNK_BYTES", chunk_bytes)
    case = random_case("width")
    check_scores(case, case.names, modes=modes)


@pytest.mark.parametrize("modes", ALL_MODES, ids=str)
def test_recomputed_activations_and_empty_batches_work_in_every_mode(modes):
    model = random_model()
    kept, again = (engine_for(model, model.config.parameter_names, modes=modes, recompute=r) for r in (False, True))
    prepared = kept.prepare(TEST, batch_size=3)
    assert torch.equal(scores(kept, TRAIN, prepared), scores(again, TRAIN, prepared))
    assert scores(kept, TRAIN[:0], prepared).shape == (0, len(TEST))


@pytest.mark.parametrize("modes", ALL_MODES, ids=str)
def test_rows_in_any_order_get_the_same_influences(modes):
    case = random_case("width")
    order = torch.randperm(len(TRAIN), generator=torch.Generator().manual_seed(0))
    engine = engine_for(case.model, case.names, modes=modes)
    prepared = engine.prepare(TEST, batch_size=8)
    in_order, shuffled = scores(engine, TRAIN, prepared), scores(engine, TRAIN[order], prepared)
    torch.testing.assert_close(shuffled, in_order[order], rtol=1e-11, atol=1e-11)


ENTITIES, RELATIONS = "entity_embeddings.weight", "relation_embeddings.weight"
FORWARD, HEADS, LONG = Modes(forward=True), Modes(head_jacobians=True), Modes(long_run=1)
TABLE, FORWARD_TABLE, LONG_TABLE = (replace(modes, relation_table=True) for modes in (Modes(), FORWARD, LONG))
# Each entry: the tensor whose gradient loses a part (*: all are tracked), the mode, the module, the text that is taken
# out, what is left.
TERMS = {
    "the head's own row": (ENTITIES, FORWARD, "directions", "(heads == h, test.head, slice(0, dim)), ", ""),
    "the tail's row": (ENTITIES, FORWARD, "directions", ", (heads == t, test.tail, slice(0, dim))", ""),
    "the relation's row": (RELATIONS, FORWARD, "directions", "moved[pair] += image", "pass"),
    "closed units": ("conv1.bias", FORWARD, "directions", ".mul_(is_open)", ""),
    "moved features": ("conv1.bias", FORWARD, "scorer", "total += part.by_pair(next(moved))", "next(moved)"),
    "the overlap along directions": (
        "fc.weight",
        FORWARD,
        "scorer",
        "projected.addcmul_(ahead.overlap[:, test, None], output.at_projection[test])",
        "pass",
    ),
    "what is constant along directions": ("bn2.bias", FORWARD, "scorer", ".add_(self._constant[test])", ""),
    "bn2's weight along directions": (
        "bn2.weight",
        FORWARD,
        "scorer",
        "projected.addcmul_(ahead.normalised, output.at_bn2_weight[test])",
        "pass",
    ),
    "closed outputs along directions": ("bn2.bias", FORWARD, "scorer", "projected.mul_(ahead.is_open)", "projected"),
    "bn2's scale along directions": (
        "conv1.bias",
        FORWARD,
        "scorer",
        ".mul_(self.engine.model.bn2_scale)",
        "",
    ),
    "the heads' Jacobians": ("conv1.bias", HEADS, "factors", "gathered.add_head_moments(", "("),
    "closed units of the Jacobians": ("conv1.bias", HEADS, "jacobians", "seen * is_open", "seen + 0 * is_open"),
    "the heads' rows": (
        "*",
        HEADS,
        "embedding_terms",
        "head=torch.cat([test.head, moves.head], dim=1)",
        "head=torch.cat([test.head, 0 * moves.head], dim=1)",
    ),
    "tails that are heads": (
        "*",
        HEADS,
        "embedding_terms",
        "tail=torch.cat([test.tail, moves.tail], dim=1)",
        "tail=torch.cat([test.tail, 0 * moves.tail], dim=1)",
    ),
    "relations of their own": (
        RELATIONS,
        HEADS,
        "embedding_terms",
        "[test.relation, moves.relation]",
        "[test.relation, 0 * moves.relation]",
    ),
    "Jacobians by pair": (
        "conv1.bias",
        LONG,
        "long_runs",
        "total += kernel_jacobians(model, part, engine.precision, pairs)",
        "pass",
    ),
    "Jacobians by head": ("conv1.bias", LONG, "long_runs", "total += known[part.key_of_pair[pairs]]", "pass"),
    "Jacobians by relation": (
        "conv1.bias",
        LONG_TABLE,
        "long_runs",
        "total += engine.relations.jacobian",
        "engine.relations.jacobian",
    ),
    "the overlap of long runs": (
        "fc.weight",
        LONG,
        "long_runs",
        "made.addcmul_(overlap, self._at_projection.index_select(0, units.dim))",
        "pass",
    ),
    "bn2's weight of long runs": (
        "bn2.weight",
        LONG,
        "long_runs",
        "made.addcmul_(normalised[:, None], self._at_bn2_weight.index_select(0, units.dim))",
        "pass",
    ),
    "bn2's bias of long runs": ("bn2.bias", LONG, "scorer", "self._constant += wide.output.at_bn2", "pass"),
    "fc's bias of long runs": (
        "fc.bias",
        LONG,
        "scorer",
        "self._constant += engine.model.bn2_scale * wide.output.at_projection",
        "pass",
    ),
    "the embeddings of long runs": (ENTITIES, LONG, "factors", "images[half])", "0 * images[half])"),
    "the table's moments": (
        "conv1.bias",
        TABLE,
        "factors",
        "        moments += found.index_select",
        "        moments + found.index_select",
    ),
    "the table's overlap": ("fc.weight", TABLE, "passes", "overlap += known.overlap.index_select(0, relation)", "pass"),
    "the table's projection": (
        "bn2.weight",
        TABLE,
        "passes",
        "projected += known.projected.index_select(0, relation)",
        "pass",
    ),
    "the table's directions": (
        "conv1.bias",
        FORWARD_TABLE,
        "scorer",
        "total += self._relation_directions[test].index_select(0, batch.pairs[:, 1])",
        "pass",
    ),
    "own moves along directions": (ENTITIES, FORWARD, "embedding_terms", "+= moves[test]", "+= 0"),
    "own moves of heads": (ENTITIES, FORWARD, "embedding_terms", "[(heads == h, own.head), ", "["),
    "own moves of tails": (ENTITIES, FORWARD, "embedding_terms", ", (heads == t, own.tail)]", "]"),
    "own moves of relations": (
        RELATIONS,
        FORWARD_TABLE,
        "embedding_terms",
        "moved.append((relations == r, own.relation))",
        "pass",
    ),
    "closed units of own moves": (ENTITIES, FORWARD, "directions", "moved * is_open", "moved"),
}


@pytest.mark.parametrize("term", TERMS)
def test_scores_without_a_term_of_a_mode_disagree_with_the_oracle(term):
    tensor, modes, module, text, replacement = TERMS[term]
    case = random_case("width")
    tracked = case.names if tensor == "*" else [tensor]
    check_scores(case, tracked, fresh_room(), modes=modes)
    with pytest.raises(Disagreement):
        check_scores(case, tracked, fresh_room([(module, text, replacement)]), modes=modes)


def test_modes_say_what_they_do():
    assert str(Modes()) == "pair product: backward per row"
    assert str(FORWARD_TABLE) == "forward mode: directions per (head, relation), relation table"
    both = "pair product: Jacobians per head, directions for (head, relation) of 9 rows or more"
    assert str(Modes(head_jacobians=True, long_run=9)) == both
