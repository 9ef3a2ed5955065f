"""Test triples that are explained together: each answer is the mean of its members' answers."""

import numpy as np
import pytest
import zarr
from small_graph import LEARNING_RATE, NUM_ROWS, Graph, MakeJob

from tracin_dask.errors import ConfigError
from tracin_dask.influence.losses import SLCWA, OneToAll

SETS = {"all": True, "two": ("b", "a", "b")}
QUESTIONS = {
    "bce": {},
    "slcwa": {"loss": SLCWA(num_negatives=2, seed=4)},
    "one-to-all": {"loss": OneToAll(label_smoothing=0.1)},
    "score": {"explain": "score"},
    "contrast": {"contrast": (7,)},
}


def by_line(result, answer: int) -> np.ndarray:
    ranking = result.rankings[answer]
    assert len(ranking) == NUM_ROWS
    return ranking.influence[np.argsort(ranking.train_index)]


@pytest.fixture
def tests(graph: Graph) -> np.ndarray:
    chosen = graph.test_triples[graph.test_triples[:, 2] != 7][:3]
    assert len(chosen) == 3
    return chosen


def members(together) -> list[list[int]]:
    return [[0, 1, 2]] if together is True else [[0, 2], [1]]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("together", SETS)
def test_every_answer_is_the_mean_of_the_answers_to_its_members(make_job: MakeJob, tests, together, question):
    options = {"tests": tests, "top_k": NUM_ROWS} | QUESTIONS[question]
    single = make_job(**options).carry_out()
    result = make_job(**options, together=SETS[together]).carry_out()
    assert len(result.rankings) == len(members(SETS[together]))
    for answer, rows in enumerate(members(SETS[together])):
        expected = np.mean([by_line(single, row) for row in rows], axis=0)
        scale = np.max([np.abs(by_line(single, row)).max() for row in rows])
        assert np.abs(by_line(result, answer) - expected).max() <= 2e-6 * scale


def test_cosines_of_an_answer_are_divided_by_the_norm_of_the_mean_gradient(make_job: MakeJob, tests):
    options = {"tests": tests, "top_k": NUM_ROWS, "together": SETS["two"]}
    plain, cosine = make_job(**options).carry_out(), make_job(**options, normalize="cosine").carry_out()
    assert cosine.norms is not None
    for answer in range(2):
        entry = cosine.rankings[answer]
        order = np.argsort(plain.rankings[answer].train_index)
        expected = plain.rankings[answer].influence[order][entry.train_index]
        divided = expected / (cosine.norms.train[answer] * cosine.norms.test[answer])
        np.testing.assert_allclose(entry.influence, divided, rtol=1e-3, atol=1e-6)
        assert np.abs(entry.influence).max() <= 1 + 1e-5
    alone = make_job(tests=tests[[1]], normalize="cosine", top_k=3).carry_out()
    np.testing.assert_allclose(cosine.norms.test[1], alone.norms.test[0], rtol=1e-5)


def test_what_checkpoints_add_to_an_answer_is_the_answer(make_job: MakeJob, tests):
    options = {"tests": tests, "top_k": 5, "together": SETS["two"], "checkpoint_contributions": True}
    result = make_job(**options).carry_out()
    assert result.contributions is not None
    for ranking, added in zip(result.rankings, result.contributions, strict=True):
        np.testing.assert_allclose(added[:, 0], ranking.influence, rtol=1e-4, atol=1e-7 * LEARNING_RATE)


def test_saved_scores_have_a_row_for_each_set(make_job: MakeJob, tests, tmp_path):
    path = tmp_path / "scores.zarr"
    result = make_job(tests=tests, top_k=NUM_ROWS, together=SETS["two"], save_scores=path).carry_out()
    saved = zarr.open_group(path, mode="r")
    assert saved["influence"].shape == (2, NUM_ROWS)
    assert saved["influence"].metadata.dimension_names == ("set", "train")
    assert saved.attrs["sets"] == ["b", "a"]
    assert saved["set_of_test"][:].tolist() == [0, 1, 0]
    line = np.argsort(saved["train_index"][:])
    np.testing.assert_array_equal(saved["influence"][:][1][line], by_line(result, 1).astype(np.float32))


def test_names_of_sets_that_do_not_fit_the_test_triples_are_refused(make_job: MakeJob, tests):
    with pytest.raises(ConfigError, match="names the sets of 2 test triples, and there are 3 of them; give one name"):
        make_job(tests=tests, together=("a", "b"))
    with pytest.raises(ConfigError, match="together is about test triples, and mode 'self' has none"):
        make_job(mode="self", together=True)
