"""The check against the oracle notices when any term of the product is taken away."""

import pytest
from influence.agreement import Disagreement, check_scores, check_self_influence, fresh_room, random_case

ENTITIES, RELATIONS, BIAS = "entity_embeddings.weight", "relation_embeddings.weight", "entity_bias"

# Each entry: the tensor whose gradient loses a part, the module, the text that is taken out of its source.
TERMS_OF_BOTH = {
    "fc.bias": ("fc.bias", "product", 'bias = float("fc.bias" in tracked)', "bias = 0.0"),
    "bn2.bias": ("bn2.bias", "product", "factors.append(output.at_bn2)\n", "pass\n"),
    "bn2.weight": ("bn2.weight", "product", "factors.append(output.at_bn2_weight)", "pass"),
    "bn0.weight": ("bn0.weight", "folded", '"bn0.weight", '),
    "bn0.bias": ("bn0.bias", "folded", '"bn0.bias", '),
    "conv1.weight": ("conv1.weight", "folded", '"conv1.weight", '),
    "conv1.bias": ("conv1.bias", "folded", '"conv1.bias", '),
    "bn1.weight": ("bn1.weight", "folded", '"bn1.weight", '),
    "bn1.bias": ("bn1.bias", "folded", ', "bn1.bias"'),
    "bn0.weight's mean": ("bn0.weight", "folded", " - _double(model.bn0.running_mean) * bn0_bias"),
    "conv1.weight's shift": ("conv1.weight", "folded", " + shift0 * sums[:, None]"),
    "bn1.weight's shift": ("bn1.weight", "folded", " + normalised_shift * sums"),
    "bn1.weight's mean": ("bn1.weight", "folded", " - _double(model.bn1.running_mean)"),
    "bn2's closed units": (
        "bn2.bias",
        "factors",
        "at_bn2 = tails * ahead.is_open.index_select(0, pair)",
        "at_bn2 = tails",
    ),
    "bn1's closed units": ("bn1.bias", "passes", "gradient *= features.sign().index_select(0, key)", "pass"),
}
HEAD_ROWS = "add_where_equal(total, self._{}, heads, vectors.{})"
TAIL_ROWS = "add_where_equal(total, self._{}, tails, test.{})"
TERMS_OF_SCORES = {
    "fc.weight": ("fc.weight", "passes", "overlap += part.by_pair(", "("),
    "all of bn0, conv1, bn1": (
        "conv1.bias",
        "scorer",
        "precision.add_product(total, precision.operand(linear), self._linear.T)",
        "pass",
    ),
    "relation": (
        RELATIONS,
        "embedding_terms",
        "add_by_relation(total, self._relations, relations, self._vectors.relation)",
        "pass",
    ),
    "head-head": (ENTITIES, "embedding_terms", HEAD_ROWS.format("heads", "head"), "pass"),
    "head-tail": (ENTITIES, "embedding_terms", HEAD_ROWS.format("tails", "tail"), "pass"),
    "tail-head": (ENTITIES, "embedding_terms", TAIL_ROWS.format("heads", "head"), "pass"),
    "tail-tail": (ENTITIES, "embedding_terms", TAIL_ROWS.format("tails", "tail"), "pass"),
    "only where ids are equal": (
        ENTITIES,
        "id_join",
        "block *= send(found.row_slots.astype(np.int64), device)[:, None] == send(found.test_slots, device)",
        "pass",
    ),
    "entity bias": (
        BIAS,
        "embedding_terms",
        "add_where_equal(total, self._tails, tails, test.tail_bias[:, None])",
        "pass",
    ),
    "rows that share a relation": (RELATIONS, "embedding_terms", "self._relations.holds(ids[:, 1])", "ids[:, 1] < 0"),
    "heads that are a test head": (ENTITIES, "embedding_terms", "self._heads.holds(ids[:, 0]) | ", ""),
    "heads that are a test tail": (ENTITIES, "embedding_terms", " | self._tails.holds(ids[:, 0])", ""),
}
TERMS_OF_SELF = {
    "fc.weight": ("fc.weight", "engine", "total += dot_rows(features, features)", "0 * dot_rows(features, features)"),
    "all of bn0, conv1, bn1": (
        "conv1.bias",
        "engine",
        "total += self._linear_self_terms(lower, output, along)",
        "pass",
    ),
    "relation": (RELATIONS, "product", "total += dot_rows(own.relation, along.relation)", "pass"),
    "head": (ENTITIES, "product", "total += dot_rows(own.head, along.head)", "pass"),
    "tail": (ENTITIES, "product", "total += dot_rows(own.tail, along.tail)", "pass"),
    "head == tail": (
        ENTITIES,
        "product",
        "total += 2 * dot_rows(own.head, along.tail) * (own.triples[:, 0] == own.triples[:, 2])",
        "pass",
    ),
    "head == tail only where equal": (ENTITIES, "product", " * (own.triples[:, 0] == own.triples[:, 2])"),
    "entity bias": (BIAS, "product", "total += own.tail_bias * along.tail_bias", "pass"),
}


def cases(terms):
    return [pytest.param(term, id=name) for name, term in terms.items()]


def refuse(check, term):
    tensor, module, text, replacement = (*term, "")[:4]
    wanted, room = random_case("height"), fresh_room([(module, text, replacement)])
    for tracked in [[tensor], wanted.names]:
        with pytest.raises(Disagreement):
            check(wanted, tracked, room)


@pytest.mark.parametrize("check", [check_scores, check_self_influence])
def test_with_every_term_the_engine_agrees_with_the_oracle(check):
    wanted, room = random_case("height"), fresh_room()
    for tracked in [*([name] for name in wanted.names), wanted.names]:
        check(wanted, tracked, room)


@pytest.mark.parametrize("term", cases(TERMS_OF_BOTH | TERMS_OF_SCORES))
def test_scores_without_a_term_disagree_with_the_oracle(term):
    refuse(check_scores, term)


@pytest.mark.parametrize("term", cases(TERMS_OF_BOTH | TERMS_OF_SELF))
def test_self_influences_without_a_term_disagree_with_the_oracle(term):
    refuse(check_self_influence, term)
