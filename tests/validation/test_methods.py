"""Files of methods: what they may say, and what is refused with the name of the method."""

import jaxtyping
import pytest

from tracin_dask.errors import ConfigError
from tracin_dask.influence.losses import OneToAll
from tracin_dask.validation.baselines import BASELINES
from tracin_dask.validation.methods import known_options, read_methods


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "methods.yaml"
        path.write_text(text)
        return read_methods(path)

    return read


def test_the_default_file_has_the_plain_run_and_every_baseline():
    methods = read_methods()
    assert methods[0].name == "plain"
    assert not methods[0].options
    assert {method.baseline for method in methods} - {None} == set(BASELINES)


def test_a_method_makes_the_configuration_of_a_run(read):
    (method,) = read("mine: {loss: one-to-all, parameters: ['fc.*'], normalize: cosine, checkpoints: [1, 3]}")
    config = method.config(0.1, top_k=4)
    assert config.scoring.loss == OneToAll(label_smoothing=0.1)
    assert (config.scoring.parameters, config.scoring.normalize, config.ranking.top_k) == (("fc.*",), "cosine", 4)
    assert method.epochs((1, 2, 3)) == (1, 3)


@pytest.mark.parametrize(
    ("checkpoints", "epochs"), [("last", (30,)), ("all", (1, 11, 30)), ("[1, 30]", (1, 30)), ("[11]", (11,))]
)
def test_checkpoints_are_the_last_all_or_those_of_some_epochs(read, checkpoints, epochs):
    assert read(f"one: {{checkpoints: {checkpoints}}}")[0].epochs((1, 11, 30)) == epochs


def test_methods_that_share_an_alias_have_all_its_options(read):
    one, other = read("one: &settings {checkpoints: all, trainings: 2}\nother: *settings")
    assert (one.checkpoints, one.trainings) == (other.checkpoints, other.trainings) == ("all", 2)


def test_an_epoch_that_is_not_kept_is_refused(read):
    with pytest.raises(ConfigError, match=r"'one' needs the checkpoint of epoch 2, but those of 1, 3 are kept"):
        read("one: {checkpoints: [2]}")[0].epochs((1, 3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {normalise: cosine}", "method 'a': there is no option 'normalise'; did you mean normalize"),
        ("a: {top_k: 3}", "method 'a': there is no option 'top_k'"),
        ("a: {loss: hinge}", "method 'a': loss must be bce, one-to-all, slcwa, not 'hinge'"),
        ("a: {baseline: coin}", "method 'a': there is no baseline 'coin'; known are random"),
        ("a: {baseline: random, normalize: cosine}", "method 'a': a baseline has no options of a run"),
        ("a: {scores: 3}", "method 'a': scores is 3; expected the path of a NumPy file"),
        ("a: {scores: a.npy, damping: 3, trainings: 2}", "scores are made elsewhere.*; leave out damping, trainings"),
        ("a: {scores: a.npy, baseline: random}", "scores are made elsewhere.*; leave out baseline"),
        ("a: {checkpoints: first}", "method 'a': checkpoints is 'first'; expected last, all, or a list of epochs"),
        ("a: {trainings: 0}", "method 'a': trainings is 0; expected a whole number from 1 on"),
        ("a: {baseline: [random]}", "method 'a': there is no baseline .'random'."),
        ("a: {damping: '3'}", "method 'a': damping is '3'; expected a number such as 3 or 0.001"),
        ("a: {damping: true}", "method 'a': damping is True; expected a number"),
        ("a: {damping: 2001-13-40}", "is no YAML file"),
        (f"a: {{learning_rate: 1{'0' * 400}}}", "method 'a': int too large"),
        ("a: " + "[" * 3000, "is no YAML file"),
        ("a: {landmarks: 10.5}", "method 'a': landmarks is 10.5; expected a whole number"),
        ("a: {landmarks_near: 'no'}", "method 'a': landmarks_near is 'no'; expected true or false"),
        ("a: {parameters: [1]}", "method 'a': parameters is .1.; expected a list of patterns"),
        ("a: {normalize: 3}", "method 'a': normalize is 3; expected a word"),
        ("1: {}", "has a method named 1; put the name into quotes"),
        ("a: cosine", "method 'a': expected options, such as"),
        ("- a", "names no methods"),
        ("", "names no methods"),
        ("a: {", "is no YAML file: .* line 1"),
    ],
)
def test_what_is_wrong_in_a_file_is_refused_with_its_place(read, text, message):
    with pytest.raises(ConfigError, match=message) as error:
        read(text)
    assert "methods.yaml" in str(error.value)


@pytest.mark.usefixtures("s3")
def test_scores_at_a_url_are_refused(read):
    with pytest.raises(ConfigError, match=r"method 'a': scores: s3://bucket/a\.npy is a URL, but"):
        read("a: {scores: s3://bucket/a.npy}")


def test_a_value_that_an_option_does_not_have_is_refused(read, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is outside of tests
    with pytest.raises(ConfigError, match=r"method 'a': normalize must be none, cosine or relatif, not 'twice'"):
        read("a: {normalize: twice}")


def test_options_that_a_study_sets_itself_are_not_a_methods():
    assert {"top_k", "save_scores", "touching", "mode"}.isdisjoint(known_options())
    assert {"loss", "parameters", "precision", "explain"}.issubset(known_options())
