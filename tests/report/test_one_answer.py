"""One answer of a result is a result by itself, with all that the whole result knows of it."""

import numpy as np
import pytest
from made_results import made_groups, made_result, ranked

import tracin_dask
from tracin_dask.report.groups import GroupInfluences
from tracin_dask.report.predictions import EntityRanks, Predictions
from tracin_dask.report.ranks import ListedRanks
from tracin_dask.report.result import Norms
from tracin_dask.report.self_influences import SelfInfluences
from tracin_dask.report.sets import TestSets

TESTS = np.array([[0, 1, 2], [3, 0, 4], [5, 1, 6]])
RANKINGS = (ranked([0.5, -0.25]), ranked([3.0]), ranked([-2.0, 1.0, 0.5]))
FURTHER = (ranked([0.125], 7), ranked([]), ranked([-0.5], 9))


def predictions(contrast=None):
    return Predictions(
        score=np.array([1.0, np.nan, 3.0]),
        probability=np.array([0.1, 0.2, 0.3]),
        tail_ranks=EntityRanks(filtered=np.array([1.0, 2.5, 3.0]), raw=np.array([4.0, 5.0, 6.0])),
        head_ranks=None,
        train_index=(np.array([1]), np.array([], np.int64), np.array([2, 3])),
        reversed_train_index=(np.array([], np.int64), np.array([8]), np.array([], np.int64)),
        contrast=contrast,
    )


def whole_result(**others):
    """Make a result of three test triples that has every part."""
    listed = ListedRanks(
        triples=np.array([[7, 0, 8]]),
        train_index=np.array([11]),
        influence=np.array([[0.1], [0.2], [0.3]]),
        rank=np.array([[1], [0], [5]]),
        num_ranked=np.array([10, 20, 30]),
    )
    values = {
        "test_triples": TESTS,
        "contrast_tails": np.array([9, 10, 12]),
        "predictions": predictions(predictions()),
        "rankings": RANKINGS,
        "further": FURTHER,
        "contributions": tuple(np.ones((len(one), 1)) * place for place, one in enumerate(RANKINGS)),
        "spread": tuple(np.full(len(one), 0.1 * place) for place, one in enumerate(RANKINGS)),
        "further_spread": tuple(np.full(len(one), 0.2 * place) for place, one in enumerate(FURTHER)),
        "self_influences": SelfInfluences(
            train=tuple(one.influence**4 for one in RANKINGS), test=np.array([17.0, 18.0, 19.0])
        ),
        "norms": Norms(train=tuple(one.influence**2 for one in RANKINGS), test=np.array([7.0, 8.0, 9.0])),
        "groups": (made_groups("head", np.arange(15.0).reshape(5, 3), np.arange(5), [None] * 5),),
        "num_ranked": np.array([10, 20, 30]),
        "ranks": listed,
        "kept": {"count": ("a", "b", "c")},
        "run": {"checkpoint_contributions": True, "groupings": [{"group_by": "head"}]},
    } | others
    made = made_result(RANKINGS[0], {3: "acid"}, **values)
    return made if listed is not values["ranks"] else _with_labels_of(made, listed)


def _with_labels_of(result, listed):
    """Add the labels of listed triples, which `made_result` leaves out."""
    both = np.concatenate([*(part.triples for part in (*RANKINGS, *FURTHER)), TESTS, listed.triples])
    others = np.column_stack([TESTS[:, :2], result.contrast_tails])
    labels = made_result(RANKINGS[0], {3: "acid"}, test_triples=np.concatenate([both, others])).labels
    return tracin_dask.InfluenceResult(**{name: getattr(result, name) for name in _fields()} | {"labels": labels})


def _fields():
    return tracin_dask.InfluenceResult.__dataclass_fields__


def test_every_part_of_one_answer_is_that_of_the_whole_result():
    whole = whole_result()
    assert all(getattr(whole, name) is not None for name in _fields() if name != "sets")
    assert len(whole) == 3
    for test_index, one in enumerate(whole):
        assert len(one) == 1
        assert one.to_dict() == whole.to_dict(test_index)
        assert one.norms.test.tolist() == [whole.norms.test[test_index]]
        assert one.groups[0].net.tolist() == [whole.groups[0].net[test_index].tolist()]
        assert one.ranks.percentile().tobytes() == whole.ranks.percentile(test_index).tobytes()
        assert one.kept == {"count": ("abc"[test_index],)}


def test_one_answer_has_no_labels_of_other_answers():
    one = whole_result()[1]
    assert one.labels.entities.ids.tolist() == [0, 2, 3, 4, 7, 8, 10]
    assert one.labels.entities.names.to_pylist()[2] == "acid"


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_one_answer_is_written_and_read_back_whole(tmp_path, suffix):
    trainings = [{"path": "model.pt", "sha256": "0" * 64, "epoch": None, "learning_rate": 0.1, "training": 1}]
    run = {"checkpoint_contributions": True, "checkpoints": trainings}
    for place, one in enumerate(whole_result(groups=(), run=run)):
        tracin_dask.write_result(one, tmp_path / f"{place}{suffix}")
        assert tracin_dask.read_result(tmp_path / f"{place}{suffix}") == one


def test_one_answer_about_a_set_has_all_members_of_the_set():
    sets = TestSets(names=("first", "second"), of_test=np.array([0, 1, 0]))
    parts = {"rankings": RANKINGS[:2], "further": FURTHER[:2], "test_triples": TESTS, "sets": sets}
    whole = made_result(RANKINGS[0], predictions=predictions(), **parts)
    first, second = whole
    assert first.test_triples.tolist() == TESTS[[0, 2]].tolist()
    assert first.predictions.score.tolist() == [1.0, 3.0]
    assert [lines.tolist() for lines in first.predictions.train_index] == [[1], [2, 3]]
    assert (first.sets.names, first.sets.of_test.tolist()) == (("first",), [0, 0])
    assert second.sets == TestSets(names=("second",), of_test=np.array([0]))
    assert second.rankings == (RANKINGS[1],)


def test_one_answer_leaves_out_groups_that_only_other_answers_list():
    sums = np.array([[1.0, np.nan], [2.0, 3.0]])
    made = made_groups("head", np.ones((2, 2)), np.arange(2), ["a", "b"])
    values = {name: getattr(made, name) for name in GroupInfluences.__dataclass_fields__}
    listed = GroupInfluences(**values | dict.fromkeys(("positive", "negative", "net"), sums))
    whole = made_result(
        RANKINGS[0], test_triples=TESTS[:2], rankings=RANKINGS[:2], further=FURTHER[:2], groups=(listed,)
    )
    assert [one.groups[0].names.to_pylist() for one in whole] == [["a"], ["a", "b"]]
    assert whole[0].groups[0].net.tolist() == [[1.0]]


def test_an_answer_is_counted_from_either_end_and_refused_beyond():
    whole = whole_result()
    assert whole[-1] == whole[np.int64(2)]
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"no answer has index {index}: the result has 3"):
            whole[index]
    with pytest.raises(TypeError):
        whole["first"]


def test_self_influence_has_one_answer():
    whole = made_result(ranked([2.0, 1.0]), test_triples=None)
    assert (len(whole), whole[0]) == (1, whole)
