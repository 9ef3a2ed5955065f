"""`tracin-dask run`: each option about the scores does what it says, checked on results and counters."""

import copy
from functools import partial

import numpy as np
import oracle
import pytest
import torch

from tracin_dask.errors import ConfigError
from tracin_dask.influence.precision import cpu_has_bf16_units

TOLERANCE = 1e-5
"""Of float32 sums, relative to the product of the gradients' norms."""


@pytest.fixture
def everything(explain):
    """Run on the project's test triple, and report all training triples."""
    return partial(explain, "--top-k", 600)


@pytest.fixture(scope="module")
def truth(project):
    """What plain autograd says: products with the test triple and norms, per tensor, line by line."""
    model = copy.deepcopy(project.model).double()
    lines, test = torch.from_numpy(project.lines[:60]), torch.from_numpy(project.lines[5:6])
    assert not oracle.near_a_kink(model, lines, margin=1e-6).any()
    return oracle.products(model, lines, test), oracle.norms(model, lines)


def by_line(contents):
    return np.array([e["influence"] for e in sorted(contents["influences"], key=lambda e: e["train_index"])])


def assert_sums(contents, truth, names):
    """Compare the first 60 lines with the sums over the named tensors."""
    products, norms = truth
    wanted = 0.01 * sum(products[name][:, 0] for name in names).numpy()
    size = sum(norms[name].square() for name in names).sqrt().numpy()
    assert (np.abs(by_line(contents)[:60] - wanted) <= TOLERANCE * 0.01 * size * size[5]).all()
    assert contents["run"]["parameters"] == sorted(names)


def test_all_parameters_count_by_default(everything, truth):
    assert_sums(everything(), truth, list(truth[0]))


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["fc.weight", "fc.bias"]),
        (["--num-last-layers", 2], ["fc.weight", "fc.bias"]),
        (["--num-last-layers", 3], ["fc.weight", "fc.bias", "bn1.bias"]),
        (["--num-last-layers", 5], ["fc.weight", "fc.bias", "bn1.bias", "bn1.weight", "conv1.bias"]),
    ],
)
def test_the_last_layers_are_fc_and_the_tensors_before_it(everything, truth, words, names):
    assert_sums(everything("--use-last-layers-only", *words), truth, names)


@pytest.mark.parametrize("end", [[], ["--batch-size", "100"]])
def test_parameters_takes_several_patterns_wherever_it_stands(everything, truth, end):
    names = ["fc.weight", "fc.bias", "bn2.weight", "bn2.bias", "relation_embeddings.weight"]
    assert_sums(everything("--parameters", "fc.*", "bn2.*", "relation_*", *end), truth, names)


def test_parameters_may_be_given_again_and_with_an_equals_sign(everything):
    contents = everything("--parameters", "fc.*", "--batch-size", "100", "--parameters=bn2.bias")
    assert contents["run"]["parameters"] == ["bn2.bias", "fc.bias", "fc.weight"]


def test_a_pattern_that_matches_nothing_is_refused_with_the_names_there_are(everything):
    with pytest.raises(ConfigError, match=r"no parameter tensor matches 'fc2\.\*'; the model has: entity_embeddings"):
        everything("--parameters", "fc2.*")


@pytest.mark.parametrize("end", [[], ["--labels"]])
def test_parameters_without_a_pattern_is_refused(project, refused, end):
    message = refused("run", *project.options(), "--mode", "self", "--output", "a.json", "--parameters", *end)
    assert "--parameters needs at least one pattern, e.g. --parameters 'fc.*'" in message


def test_the_learning_rate_is_a_factor_and_stated(everything):
    own, double = everything(), everything("--learning-rate", "0.02")
    assert (own["learning_rate"], double["learning_rate"]) == (0.01, 0.02)
    assert double["run"]["checkpoints"][0]["learning_rate"] == 0.02
    np.testing.assert_allclose(by_line(double), 2 * by_line(own), rtol=1e-6)


def test_a_checkpoint_without_a_learning_rate_takes_a_thousandth(everything, project, tmp_path, monkeypatch):
    bare = tmp_path / "bare.pt"
    contents = torch.load(project.folder / "model.pt", weights_only=True)
    torch.save({name: value for name, value in contents.items() if name != "learning_rate"}, bare)
    words = [word if word != f"{project.folder}/model.pt" else str(bare) for word in project.options()]
    monkeypatch.setattr(type(project), "options", lambda _: words)
    small = everything()
    assert small["learning_rate"] == 0.001
    monkeypatch.undo()
    np.testing.assert_allclose(by_line(small), 0.1 * by_line(everything()), rtol=1e-6)


@pytest.mark.parametrize(("size", "expected"), [("7", 7), ("auto", 8192)])
def test_the_batch_size_is_respected(everything, size, expected):
    contents = everything("--batch-size", size)
    assert contents["run"]["batch_size"] == expected
    np.testing.assert_allclose(by_line(contents), by_line(everything("--batch-size", 600)), rtol=1e-3, atol=1e-7)


def test_emulated_bf16_rounds_and_says_so(everything):
    full, mixed = everything(), everything("--precision", "bf16-emulated")
    assert (full["run"]["precision"], mixed["run"]["precision"]) == ("float32", "rounded bf16 products, float32 sums")
    assert (by_line(full) != by_line(mixed)).any()
    assert np.corrcoef(by_line(full), by_line(mixed))[0, 1] > 0.999


def test_a_precision_is_chosen_by_name(everything):
    named, mixed = everything("--precision", "bf16"), everything("--use-mixed-precision")
    expected = "bf16 products, float32 sums" if cpu_has_bf16_units() else "float32"
    assert named["run"]["precision"] == mixed["run"]["precision"] == expected
    assert (by_line(named) == by_line(mixed)).all()


def test_gradient_checkpointing_changes_no_result_and_is_stated(everything):
    kept, again = everything(), everything("--use-gradient-checkpointing")
    assert (kept["run"]["gradient_checkpointing"], again["run"]["gradient_checkpointing"]) == (False, True)
    np.testing.assert_allclose(by_line(kept), by_line(again), rtol=1e-4, atol=1e-7)


def test_test_gradients_are_computed_once_or_in_every_task(everything):
    cached = everything("--batch-size", 100)["run"]["statistics"]
    again = everything("--batch-size", 100, "--no-cache-test-gradients")["run"]["statistics"]
    assert cached["tasks"] == again["tasks"] == 3
    assert (cached["test_factor_computations"], again["test_factor_computations"]) == (1, 3)


def test_a_test_triple_without_its_tail_is_told_as_that(refused, project):
    said = refused("run", *project.options(), "--test-triple", "3", "1", "--output", "a.json")
    assert "--test-triple needs a head, a relation and a tail" in said


@pytest.mark.parametrize("normalize", ["cosine", "relatif"])
def test_normalised_influences_are_quotients_by_the_stated_norms(everything, normalize):
    plain, divided = everything(), everything("--normalize", normalize)
    assert (plain["run"]["normalize"], divided["run"]["normalize"]) == ("none", normalize)
    by = np.array([e["train_gradient_norm"] for e in sorted(divided["influences"], key=lambda e: e["train_index"])])
    if normalize == "cosine":
        by = by * divided["test_gradient_norm"]
    np.testing.assert_allclose(by_line(divided) * by, by_line(plain), rtol=1e-4, atol=1e-9)


def test_the_table_says_what_a_normalised_influence_is(project, tool, tmp_path):
    words = ["--test-triple", *project.test_ids, "--normalize", "cosine", "--output", tmp_path / "a.json"]
    said = " ".join(tool("run", *project.options(), *words).stdout.split())
    assert "size: cosine of the gradients." in said


def test_self_influence_is_not_normalised(project, tool):
    with pytest.raises(ConfigError, match=r"--normalize is for influences on test triples: .* leave --normalize out"):
        tool("run", *project.options(), "--mode", "self", "--normalize", "cosine", "--output", "a.json")
