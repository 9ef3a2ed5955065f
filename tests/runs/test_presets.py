"""Presets are options that count where they are not stated."""

import numpy as np
import pytest
from small_graph import MakeJob, bits

from tracin_dask.errors import ConfigError
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.presets import PLAIN, PRESETS, RECOMMENDED


def test_a_preset_gives_the_bits_of_its_options(make_job: MakeJob):
    for name, preset in PRESETS.items():
        by_name, by_options = make_job(preset=name).carry_out(), make_job(**preset.options).carry_out()
        assert bits(by_name) == bits(by_options)
        assert by_name.run["preset"] == name


def test_without_a_preset_a_run_is_plain_tracin(make_job: MakeJob):
    assert make_job().carry_out().run["preset"] == PLAIN
    assert PRESETS[PLAIN].options == {}


def test_stated_options_count_beside_a_preset(make_job: MakeJob):
    config = RunConfig.of(preset=RECOMMENDED, damping=7.0)
    assert (config.scoring.curvature, config.scoring.damping) == ("rows", 7.0)
    assert RunConfig.of(preset=RECOMMENDED, curvature="none") != RunConfig.of(preset=RECOMMENDED)
    plain = make_job(preset=RECOMMENDED, curvature="none").carry_out()
    for one, other in zip(plain.rankings, make_job().carry_out().rankings, strict=True):
        np.testing.assert_array_equal(one.influence, other.influence)


def test_an_unknown_preset_and_one_that_comes_late_are_refused():
    with pytest.raises(ConfigError, match="there is no preset 'retrain'; did you mean retraining"):
        RunConfig.of(preset="retrain")
    with pytest.raises(ConfigError, match="a preset is where a configuration starts"):
        RunConfig.of().changed(preset=RECOMMENDED)


def test_every_preset_says_what_it_is_for_and_what_it_is_worth():
    assert len({preset.purpose for preset in PRESETS.values()}) == len(PRESETS)
    assert all(preset.purpose and preset.worth for preset in PRESETS.values())
