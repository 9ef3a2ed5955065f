"""The check against the oracle notices when any term of the product is taken away."""

import pytest
from influence.agreement import Disagreement, check_scores, check_self_influence, fresh_room, random_case

ENTITIES, RELATIONS, BIAS = "entity_embeddings.weight", "relation_embeddings.weight", "entity_bias"

# Each entry: the tensor whose gradient loses a part, the module, the text that is taken out of its source.
TERMS_OF_BOTH = {
    "fc.weight": (
        "fc.weight",
        "product",
        """\
        if "fc.weight" in tracked:
            yield along * overlap
""",
    ),
    "fc.bias": (
        "fc.bias",
        "product",
        """\
        if "fc.bias" in tracked:
            yield along
""",
    ),
    "bn2.bias": (
        "bn2.bias",
        "product",
        """\
    if "bn2.bias" in tracked:
        yield dot(left.at_bn2, right.at_bn2)
""",
    ),
    "bn2.weight": (
        "bn2.weight",
        "product",
        """\
    if "bn2.weight" in tracked:
        yield dot(left.at_bn2_weight, right.at_bn2_weight)
""",
    ),
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
    "bn2's closed units": ("bn2.bias", "factors", " * ahead.is_open[ahead.pair]"),
    "bn1's closed units": (
        "bn1.bias",
        "passes",
        """\
        gradient.mul_((features > 0)[key_of_row])
""",
    ),
}
TERMS_OF_SCORES = {
    "all of bn0, conv1, bn1": (
        "conv1.bias",
        "engine",
        """\
            total += self.precision.product(moments, factors.moments.T)
""",
        """\
            pass
""",
    ),
    "relation": (
        RELATIONS,
        "product",
        """\
        add_where_equal(total, rows, (r, left.relation), (test_r, right.relation))
""",
        """\
        pass
""",
    ),
    "head-head": (
        ENTITIES,
        "product",
        """\
        add_where_equal(total, rows, (h, left.head), (test_h, right.head))
""",
    ),
    "head-tail": (
        ENTITIES,
        "product",
        """\
        add_where_equal(total, rows, (h, left.head), (test_t, right.tail))
""",
    ),
    "tail-head": (
        ENTITIES,
        "product",
        """\
        add_where_equal(total, rows, (t, left.tail), (test_h, right.head))
""",
    ),
    "tail-tail": (
        ENTITIES,
        "product",
        """\
        add_where_equal(total, rows, (t, left.tail), (test_t, right.tail))
""",
    ),
    "entity bias": (
        BIAS,
        "product",
        """\
        add_where_equal(
            total, rows, (t, torch.ones_like(left.tail[:, :1])), (test_t, torch.ones_like(right.tail[:, :1]))
        )
""",
        """\
        pass
""",
    ),
    "rows that share a relation": (
        RELATIONS,
        "product",
        """\
        meets |= torch.isin(triples[:, 1], test_triples[:, 1])
""",
        """\
        pass
""",
    ),
    "rows that share an entity": (
        ENTITIES,
        "product",
        """\
        meets |= torch.isin(triples[:, [0, 2]], test_triples[:, [0, 2]]).any(dim=1)
""",
        """\
        pass
""",
    ),
    "rows that share a tail": (
        BIAS,
        "product",
        """\
        meets |= torch.isin(triples[:, 2], test_triples[:, 2])
""",
        """\
        pass
""",
    ),
}
TERMS_OF_SELF = {
    "all of bn0, conv1, bn1": (
        "conv1.bias",
        "engine",
        """\
            total += rowwise(convolution, convolution)
""",
    ),
    "relation": (
        RELATIONS,
        "product",
        """\
        yield rowwise(own.relation, own.relation)
""",
        """\
        pass
""",
    ),
    "head": (
        ENTITIES,
        "product",
        """\
        yield rowwise(own.head, own.head)
""",
    ),
    "tail": (
        ENTITIES,
        "product",
        """\
        yield rowwise(own.tail, own.tail)
""",
    ),
    "head == tail": (
        ENTITIES,
        "product",
        """\
        yield 2 * rowwise(own.head, own.tail) * (own.triples[:, 0] == own.triples[:, 2])
""",
    ),
    "head == tail only where equal": (ENTITIES, "product", " * (own.triples[:, 0] == own.triples[:, 2])"),
    "entity bias": (
        BIAS,
        "product",
        """\
        yield torch.ones_like(own.tail[:, 0])
""",
        """\
        pass
""",
    ),
}
# Noticed only where the bias is tracked alone: else the rows that share an entity are found, and hold these.
ALONE = "rows that share a tail"


def cases(terms):
    return [pytest.param(term, name == ALONE, id=name) for name, term in terms.items()]


def refuse(check, term, *, alone):
    tensor, module, text, replacement = (*term, "")[:4]
    wanted, room = random_case("height"), fresh_room([(module, text, replacement)])
    for tracked in [[tensor]] if alone else [[tensor], wanted.names]:
        with pytest.raises(Disagreement):
            check(wanted, tracked, room)


@pytest.mark.parametrize("check", [check_scores, check_self_influence])
def test_with_every_term_the_engine_agrees_with_the_oracle(check):
    wanted, room = random_case("height"), fresh_room()
    for tracked in [*([name] for name in wanted.names), wanted.names]:
        check(wanted, tracked, room)


@pytest.mark.parametrize(("term", "alone"), cases(TERMS_OF_BOTH | TERMS_OF_SCORES))
def test_scores_without_a_term_disagree_with_the_oracle(term, alone):
    refuse(check_scores, term, alone=alone)


@pytest.mark.parametrize(("term", "alone"), cases(TERMS_OF_BOTH | TERMS_OF_SELF))
def test_self_influences_without_a_term_disagree_with_the_oracle(term, alone):
    refuse(check_self_influence, term, alone=alone)
