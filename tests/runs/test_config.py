"""Options that no run can have are refused where they are stated."""

import pytest

from tracin_dask.errors import ConfigError
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.runs.config import RunConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "top_k must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"batch_size": -5}, "batch_size must be at least 1, not -5"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive number, not 0.0"),
        ({"learning_rate": -0.1}, "learning_rate must be a positive number, not -0.1"),
        ({"learning_rate": float("inf")}, "learning_rate must be a positive number, not inf"),
        ({"learning_rate": float("nan")}, "learning_rate must be a positive number, not nan"),
        ({"parameters": ("fc.*",), "last_layers": 2}, "parameters and last_layers both choose"),
    ],
)
def test_an_invalid_option_of_a_run_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        RunConfig(**options)


def test_a_number_of_last_layers_below_one_is_refused():
    with pytest.raises(ConfigError, match="the number of last layers must be at least 1, not 0"):
        RunConfig(last_layers=0).tracked(ConvEConfig(num_entities=2, num_relations=1))


def test_all_tensors_are_tracked_unless_some_are_chosen():
    model = ConvEConfig(num_entities=2, num_relations=1, has_entity_bias=True)
    assert len(RunConfig().tracked(model)) == 13
    assert RunConfig(parameters=("bn2.*", "entity_bias")).tracked(model) == {"bn2.weight", "bn2.bias", "entity_bias"}
