"""`tracin-dask run`: every option about scores has its effect on results and counters."""

import copy
from functools import partial

import numpy as np
import oracle
import pytest
import torch

from tracin_dask.errors import ConfigError
from tracin_dask.influence.losses import SLCWA, OneToAll
from tracin_dask.matmul import cpu_rounds_to_bf16

TOLERANCE = 1e-5
"""Tolerance of float32 sums, relative to the product of the gradients' norms."""


@pytest.fixture
def everything(explain):
    """Run on the project's test triple, and report all training triples."""
    return partial(explain, "--top-k", 600)


@pytest.fixture(scope="module")
def truth(project):
    """Products with the test triple and norms from autograd, per tensor and training line."""
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


def test_all_parameters_are_tracked_by_default(everything, truth):
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
def test_last_layers_are_fc_and_the_tensors_before_it(everything, truth, words, names):
    assert_sums(everything("--use-last-layers-only", *words), truth, names)


@pytest.mark.parametrize("end", [[], ["--batch-size", "100"]])
def test_parameters_takes_several_patterns_at_any_position(everything, truth, end):
    names = ["fc.weight", "fc.bias", "bn2.weight", "bn2.bias", "relation_embeddings.weight"]
    assert_sums(everything("--parameters", "fc.*", "bn2.*", "relation_*", *end), truth, names)


def test_parameters_may_be_repeated_and_use_an_equals_sign(everything):
    contents = everything("--parameters", "fc.*", "--batch-size", "100", "--parameters=bn2.bias")
    assert contents["run"]["parameters"] == ["bn2.bias", "fc.bias", "fc.weight"]


def test_a_pattern_that_matches_no_tensor_is_refused_with_all_names(everything):
    with pytest.raises(ConfigError, match=r"no parameter tensor matches 'fc2\.\*'; the model has: entity_embeddings"):
        everything("--parameters", "fc2.*")


@pytest.mark.parametrize("end", [[], ["--labels"]])
def test_parameters_without_a_pattern_is_refused(project, refused, end):
    message = refused("run", *project.options(), "--mode", "self", "--output", "a.json", "--parameters", *end)
    assert "--parameters needs at least one pattern, e.g. --parameters 'fc.*'" in message


def test_the_learning_rate_scales_influences_and_is_in_the_result(everything):
    own, double = everything(), everything("--learning-rate", "0.02")
    assert (own["learning_rate"], double["learning_rate"]) == (0.01, 0.02)
    assert double["run"]["checkpoints"][0]["learning_rate"] == 0.02
    np.testing.assert_allclose(by_line(double), 2 * by_line(own), rtol=1e-6)


def test_the_default_learning_rate_is_a_thousandth(everything, project, tmp_path):
    bare = tmp_path / "bare.pt"
    contents = torch.load(project.folder / "model.pt", weights_only=True)
    torch.save({name: value for name, value in contents.items() if name != "learning_rate"}, bare)
    small = everything(model=bare)
    assert small["learning_rate"] == 0.001
    np.testing.assert_allclose(by_line(small), 0.1 * by_line(everything()), rtol=1e-6)


@pytest.mark.parametrize(("size", "expected"), [("7", 7), ("auto", 8192)])
def test_the_batch_size_is_respected(everything, size, expected):
    contents = everything("--batch-size", size)
    assert contents["run"]["batch_size"] == expected
    np.testing.assert_allclose(by_line(contents), by_line(everything("--batch-size", 600)), rtol=1e-3, atol=1e-7)


def test_emulated_bf16_rounds_and_the_result_states_it(everything):
    full, mixed = everything(), everything("--precision", "bf16-emulated")
    assert (full["run"]["precision"], mixed["run"]["precision"]) == ("float32", "rounded bf16 products, float32 sums")
    assert (by_line(full) != by_line(mixed)).any()
    assert np.corrcoef(by_line(full), by_line(mixed))[0, 1] > 0.999


def test_float64_is_more_exact_than_float32(everything, truth):
    products, norms = truth
    wanted = 0.01 * sum(value[:, 0] for value in products.values()).numpy()
    size = sum(norm.square() for norm in norms.values()).sqrt().numpy()
    contents = everything("--precision", "float64")
    assert contents["run"]["precision"] == "float64"
    assert (np.abs(by_line(contents)[:60] - wanted) <= 1e-9 * 0.01 * size * size[5]).all()


def test_precision_bf16_and_mixed_precision_agree_on_a_cpu(everything):
    named, mixed = everything("--precision", "bf16"), everything("--use-mixed-precision")
    expected = "bf16 products, float32 sums" if cpu_rounds_to_bf16() else "float32"
    assert named["run"]["precision"] == mixed["run"]["precision"] == expected
    assert (by_line(named) == by_line(mixed)).all()


def test_gradient_checkpointing_changes_no_result_and_the_result_states_it(everything):
    kept, again = everything(), everything("--use-gradient-checkpointing")
    assert (kept["run"]["gradient_checkpointing"], again["run"]["gradient_checkpointing"]) == (False, True)
    np.testing.assert_allclose(by_line(kept), by_line(again), rtol=1e-4, atol=1e-7)


def truth_of(project, loss, test_loss, test):
    """Compute products with one test triple, and products of norms, for the first lines with autograd."""
    model, lines = copy.deepcopy(project.model).double(), torch.from_numpy(project.lines[:30])
    asked = torch.tensor([test])
    found = sum(oracle.products(model, lines, asked, loss, test_loss).values())[:, 0]
    sizes = [
        torch.stack(list(oracle.norms(model, triples, value).values())).norm(dim=0)
        for triples, value in ((lines, loss), (asked, test_loss))
    ]
    return 0.01 * found.numpy(), 0.01 * (sizes[0] * sizes[1]).numpy()


@pytest.mark.parametrize(
    ("words", "loss"),
    [
        (["--loss", "one-to-all"], oracle.of_all_scores(OneToAll().value)),
        (["--loss", "one-to-all", "--label-smoothing", 0.2], oracle.of_all_scores(OneToAll(label_smoothing=0.2).value)),
        (["--loss", "slcwa"], oracle.of_negatives(SLCWA())),
        (
            ["--loss", "slcwa", "--num-negatives", 3, "--negatives-seed", 5],
            oracle.of_negatives(SLCWA(num_negatives=3, seed=5)),
        ),
    ],
)
def test_loss_option_selects_the_loss(project, everything, words, loss):
    wanted, size = truth_of(project, loss, loss, project.lines[5].tolist())
    assert (np.abs(by_line(everything(*words))[:30] - wanted) <= TOLERANCE * size).all()


def test_label_smoothing_defaults_to_that_of_the_checkpoint(project, everything, tmp_path):
    smoothed = tmp_path / "smoothed.pt"
    contents = torch.load(project.folder / "model.pt", weights_only=True)
    torch.save(contents | {"training": {"label_smoothing": 0.2}}, smoothed)

    def smoothing(model, *words):
        return everything("--loss", "one-to-all", *words, model=model)["run"]["label_smoothing"]

    assert smoothing(smoothed) == 0.2
    assert smoothing(smoothed, "--label-smoothing", 0) == 0.0
    assert smoothing(None) == 0.0


def test_explain_score_explains_the_score_instead_of_the_loss(project, everything):
    score = oracle.of_own_score(lambda scores: -scores)
    wanted, size = truth_of(project, oracle.bce, score, project.lines[5].tolist())
    assert (np.abs(by_line(everything("--explain", "score"))[:30] - wanted) <= TOLERANCE * size).all()


@pytest.mark.parametrize("other", ["8", "CHEBI:56"])
def test_contrast_takes_the_other_tail_as_id_or_label(project, everything, other):
    contents = everything("--contrast", other)
    assert contents["contrast"] == {"tail": 8, "tail_label": "CHEBI:56"}
    wanted, size = truth_of(project, oracle.bce, oracle.of_contrast(oracle.bce), [*project.lines[5].tolist(), 8])
    assert (np.abs(by_line(contents)[:30] - wanted) <= TOLERANCE * size).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label-smoothing", "0.1"], "--label-smoothing belongs to --loss one-to-all; give both, or leave it out"),
        (["--num-negatives", "2", "--loss", "one-to-all"], "--num-negatives belongs to --loss slcwa"),
        (["--negatives-seed", "2"], "--negatives-seed belongs to --loss slcwa"),
        (["--contrast", "8", "--contrast", "9"], "2 other tails for 1 test triples; give one for all, or one each"),
    ],
)
def test_loss_options_that_contradict_each_other_are_refused(everything, words, message):
    with pytest.raises(ConfigError, match=message):
        everything(*words)


@pytest.mark.parametrize("words", [["--contrast", "8"], ["--explain", "score"]])
def test_self_influence_refuses_options_about_test_triples(project, tool, tmp_path, words):
    with pytest.raises(ConfigError, match="--contrast and --explain ask about test triples, and --mode self has none"):
        tool("run", *project.options(), "--mode", "self", "--output", tmp_path / "a.json", *words)


def test_no_cache_test_gradients_computes_them_in_every_task(everything):
    cached = everything("--batch-size", 100)["run"]["statistics"]
    again = everything("--batch-size", 100, "--no-cache-test-gradients", "--restart")["run"]["statistics"]
    assert cached["tasks"] == again["tasks"] == 3
    assert (cached["test_factor_computations"], again["test_factor_computations"]) == (1, 3)


def test_a_test_triple_without_tail_is_refused(refused, project):
    for output in ("--output", "-o"):
        said = refused("run", *project.options(), "--test-triple", "3", "1", output, "a.json")
        assert "--test-triple needs a head, a relation and a tail" in said


@pytest.mark.parametrize("normalize", ["cosine", "relatif"])
def test_normalised_influences_are_influences_divided_by_the_stated_norms(everything, normalize):
    plain, divided = everything(), everything("--normalize", normalize)
    assert (plain["run"]["normalize"], divided["run"]["normalize"]) == ("none", normalize)
    by = np.array([e["train_gradient_norm"] for e in sorted(divided["influences"], key=lambda e: e["train_index"])])
    if normalize == "cosine":
        by = by * divided["test_gradient_norm"]
    np.testing.assert_allclose(by_line(divided) * by, by_line(plain), rtol=1e-4, atol=1e-9)


def test_the_table_explains_normalised_influences(project, tool, tmp_path):
    words = ["--test-triple", *project.test_ids, "--normalize", "cosine", "--output", tmp_path / "a.json"]
    said = " ".join(tool("run", *project.options(), *words).stdout.split())
    assert "size: cosine of the gradients." in said


def test_self_influence_refuses_normalize(project, tool):
    with pytest.raises(ConfigError, match=r"--normalize is for influences on test triples: .* leave --normalize out"):
        tool("run", *project.options(), "--mode", "self", "--normalize", "cosine", "--output", "a.json")
