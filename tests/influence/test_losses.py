"""Any loss of a triple's own score works, and is differentiated as autograd does."""

import doctest

import oracle
import pytest
import torch
from conftest import random_model
from influence.agreement import case_of, check_scores, check_self_influence

from tracin_dask.errors import ConfigError
from tracin_dask.influence import losses
from tracin_dask.influence.losses import base


def documented_margin():
    """Execute the example of the module's docstring."""
    names: dict[str, type] = {}
    for example in doctest.DocTestParser().get_examples(base.__doc__):
        exec(example.source, names)  # noqa: S102 - our own docstring
    return names["Margin"]()


class Squared:
    name = "squared"

    def value(self, scores):
        return (scores - 1.0) ** 2


@pytest.mark.parametrize("loss", [documented_margin(), Squared()], ids=lambda loss: loss.name)
def test_influences_of_a_user_defined_loss_agree_with_the_oracle(loss):
    assert isinstance(loss, losses.Loss)
    wanted = case_of(random_model(has_entity_bias=True), loss=oracle.of_own_score(loss.value))
    assert (torch.stack(list(wanted.train_norms.values())).sum(dim=0) > 0).any()
    for name in wanted.names:
        check_scores(wanted, [name], loss=loss)
        check_self_influence(wanted, [name], loss=loss)


def test_the_derivative_of_bce_is_the_probability_less_one():
    scores = torch.linspace(-30, 30, 61, dtype=torch.float64)
    found = losses.derivative(losses.BinaryCrossEntropy(), scores)
    torch.testing.assert_close(found, torch.sigmoid(scores) - 1, rtol=1e-12, atol=1e-15)


def test_a_loss_with_only_some_methods_of_a_separable_one_is_refused():
    class Half:
        name = "half"
        reads = "all scores"

        def derivative_elsewhere(self, scores, num_entities):
            return scores / num_entities

        def lower_at_tail(self, num_entities):
            return 1 / num_entities

        def value(self, scores, tails):
            return (0.5 * scores.square()).mean(dim=1) - scores.gather(1, tails[:, None])[:, 0] / scores.shape[1]

    with pytest.raises(ConfigError, match=r"loss half lacks derivative_at_tail: a loss whose derivative .* has deriv"):
        losses.refuse_wrong_value(Half())


def test_a_loss_is_differentiated_under_no_grad():
    with torch.no_grad():
        assert losses.derivative(Squared(), torch.tensor([3.0])).tolist() == [4.0]
