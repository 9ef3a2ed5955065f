"""Options that no run can have are refused where they are stated."""

import re
from dataclasses import fields

import jaxtyping
import pytest

from tracin_dask.errors import ConfigError
from tracin_dask.influence.losses import OneToAll
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.runs.config import RunConfig, option_groups
from tracin_dask.runs.options.computing import ComputingOptions
from tracin_dask.runs.options.question import QuestionOptions
from tracin_dask.runs.options.ranking import RankingOptions
from tracin_dask.runs.options.saving import SavingOptions
from tracin_dask.runs.options.scoring import ScoringOptions


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
        ({"learning_rate": "0.1"}, "learning_rate must be a positive number, not '0.1'"),
        ({"learning_rate": [0.1]}, r"learning_rate must be a positive number, not \[0.1\]"),
        ({"curvature": "landmarks", "landmarks_seed": -5}, "landmarks_seed is -5; expected a whole number from 0"),
        ({"parameters": ("fc.*",), "last_layers": 2}, "parameters and last_layers both choose"),
    ],
)
def test_an_invalid_option_of_a_run_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        RunConfig.of(**options)


def test_a_number_of_last_layers_below_one_is_refused():
    with pytest.raises(ConfigError, match="the number of last layers must be at least 1, not 0"):
        RunConfig.of(last_layers=0).scoring.tracked(ConvEConfig(num_entities=2, num_relations=1))


def test_all_tensors_are_tracked_unless_some_are_chosen():
    model = ConvEConfig(num_entities=2, num_relations=1, has_entity_bias=True)
    assert len(RunConfig().scoring.tracked(model)) == 13
    assert RunConfig.of(parameters=("bn2.*", "entity_bias")).scoring.tracked(model) == {
        "bn2.weight",
        "bn2.bias",
        "entity_bias",
    }


def test_options_by_their_names_are_those_of_their_groups():
    loss = OneToAll(label_smoothing=0.1)
    config = RunConfig.of(loss=loss, top_k=5, precision="bf16", parameters=("fc.*",), group_by=("head",), mode="self")
    assert config == RunConfig(
        question=QuestionOptions(mode="self"),
        scoring=ScoringOptions(loss=loss, parameters=("fc.*",)),
        ranking=RankingOptions(top_k=5),
        saving=SavingOptions(group_by=("head",)),
        computing=ComputingOptions(precision="bf16"),
    )
    assert config.changed(top_k=7).ranking.top_k == 7
    assert config.changed(top_k=7).changed(top_k=5) == config


def test_no_two_groups_of_options_share_a_name():
    groups = [fields(group.default_factory) for group in fields(RunConfig)]
    names = [option.name for group in groups for option in group]
    assert sorted(names) == sorted(option_groups())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topk": 5}, "there is no option 'topk'; did you mean top_k or top_k_per?"),
        (
            {"colour": "red"},
            "there is no option 'colour'; the options of a run are mode, explain, contrast, together, loss",
        ),
        ({"mode": "train"}, "mode must be test or self, not 'train'"),
        ({"explain": "gradient"}, "explain must be loss or score, not 'gradient'"),
        ({"rank_by": "size"}, "rank_by must be absolute, proponents or opponents, not 'size'"),
        ({"device": "tpu"}, "device must be auto, cpu or cuda, not 'tpu'"),
        ({"precision": "int8"}, r"precision must be float64, .* or fp16, not 'int8'"),
        ({"loss": "bce"}, "loss is 'bce'; give a loss such as BinaryCrossEntropy() or OneToAll(), or one of your own"),
        ({"top_k": "3"}, "top_k must be a whole number, not '3'"),
        ({"batch_size": 2.5}, "batch_size must be a whole number, not 2.5"),
        ({"only_relations": "treats"}, "only_relations is a tuple, of one value, too: ('treats',)"),
        ({"parameters": "fc"}, "parameters is a tuple, of one value, too: ('fc',)"),
        ({"contrast": 1}, "contrast is a tuple, of one value, too: (1,)"),
    ],
)
def test_an_unknown_name_or_word_is_refused(options, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside of tests
    with pytest.raises(ConfigError, match=re.escape(message) if ".*" not in message else message):
        RunConfig.of(**options)
