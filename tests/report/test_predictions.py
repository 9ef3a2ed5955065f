"""What the model says of the test triples: in every format and back, and in words."""

import csv
import json
from dataclasses import replace

import jaxtyping
import numpy as np
import pytest
from made_results import made_result, ranked
from rich.console import Console

from tracin_dask import read_result, write_result
from tracin_dask.errors import ResultError
from tracin_dask.report.json import to_dict
from tracin_dask.report.prediction_words import notes, predicted
from tracin_dask.report.predictions import EntityRanks, Predictions
from tracin_dask.report.screen import answer_tables, list_of_answers
from tracin_dask.report.sets import TestSets

TESTS = np.array([[0, 1, 2], [3, 0, 4], [3, 1, 2]])
UNPREDICTED = (
    "the model does not predict this: the rank of its tail is 10.5, beyond 10; the influences explain a score that "
    "does not stand out"
)
ONE_OF_THREE = (
    "the model predicts 1 of 3 test triples: their tails are among the first 10, not counting the tails of other "
    "training triples"
)
ABOUT = {"prediction": {"num_entities": 1234, "checkpoint": "model.pt"}}


def lines(*numbers):
    return np.array(numbers, dtype=np.int64)


def made_predictions(**changes):
    values = {
        "score": np.array([1.5, -2.25, np.nan]),
        "probability": np.array([0.817, 0.0953, np.nan]),
        "tail_ranks": EntityRanks(filtered=np.array([1.0, 10.5, 1200.0]), raw=np.array([3.0, 25.5, 1234.0])),
        "head_ranks": EntityRanks(filtered=np.array([2.0, 1.0, 7.0]), raw=np.array([2.0, 4.5, 8.0])),
        "train_index": (lines(), lines(6), lines(1, 8, 9, 12)),
        "reversed_train_index": (lines(3), lines(), lines()),
    }
    return Predictions(**values | changes)


def three(predictions=None, **others):
    values = {"test_triples": TESTS, "rankings": (ranked([0.5]),) * 3, "further": (ranked([]),) * 3, "run": ABOUT}
    given = made_result(ranked([0.5]), **values | others)
    return replace(given, predictions=made_predictions() if predictions is None else predictions)


def with_contrast():
    other = made_predictions(score=np.array([-1.0, 0.5, 2.0]), head_ranks=None, probability=None)
    return three(made_predictions(contrast=other), contrast_tails=np.array([4, 0, 0]))


def in_sets():
    sets = TestSets(names=("a", "b"), of_test=np.array([1, 0, 1]))
    return three(sets=sets, rankings=(ranked([0.5]),) * 2, further=(ranked([]),) * 2)


def shown(renderable):
    console = Console(width=150)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def of_one(result, place):
    """Cut a result down to one of its test triples."""
    predictions = result.predictions
    some = slice(place, place + 1)

    def ranks(given):
        return EntityRanks(filtered=given.filtered[some], raw=given.raw[some])

    return replace(
        result,
        test_triples=TESTS[some],
        rankings=result.rankings[some],
        further=result.further[some],
        predictions=Predictions(
            score=predictions.score[some],
            probability=predictions.probability[some],
            tail_ranks=ranks(predictions.tail_ranks),
            head_ranks=ranks(predictions.head_ranks),
            train_index=predictions.train_index[some],
            reversed_train_index=predictions.reversed_train_index[some],
        ),
    )


@pytest.mark.parametrize("make", [three, with_contrast, in_sets])
def test_predictions_read_back_equal_from_folders_and_parquet(tmp_path, make):
    given = make()
    given.write_directory(tmp_path / "why")
    write_result(given, tmp_path / "why.parquet")
    assert read_result(tmp_path / "why").predictions == given.predictions
    assert read_result(tmp_path / "why.parquet") == read_result(tmp_path / "why")


@pytest.mark.parametrize("missing", ["probability", "tail_ranks", "head_ranks"])
def test_what_is_not_known_is_null_and_reads_back_as_not_known(tmp_path, missing):
    given = of_one(three(), 1)
    given = replace(given, predictions=replace(given.predictions, **{missing: None}))
    given.write_json(tmp_path / "why.json")
    written = json.loads((tmp_path / "why.json").read_text())["prediction"]
    keys = {"probability": ["probability"]}.get(
        missing, [f"{kind}_{missing.removesuffix('s')}" for kind in ("raw", "filtered")]
    )
    assert [written[key] for key in keys] == [None] * len(keys)
    assert read_result(tmp_path / "why.json").predictions == given.predictions


def test_json_states_whole_ranks_as_integers_and_lines_from_0():
    assert to_dict(three(), 1)["prediction"] == {
        "score": -2.25,
        "probability": 0.0953,
        "filtered_tail_rank": 10.5,
        "raw_tail_rank": 25.5,
        "filtered_head_rank": 1,
        "raw_head_rank": 4.5,
        "train_index": [6],
        "reversed_train_index": [],
        "notes": [
            UNPREDICTED,
            "this is a training triple: line 7",
        ],
    }
    assert to_dict(three(), 2)["prediction"]["score"] is None


def test_the_summary_of_a_folder_states_the_prediction_of_each_test_triple(tmp_path):
    given = with_contrast()
    given.write_directory(tmp_path / "why")
    summary = json.loads((tmp_path / "why" / "summary.json").read_text())["results"]
    for index, one in enumerate(summary):
        described = to_dict(given, index)
        assert one["prediction"] == described["prediction"]
        assert one["contrast_prediction"] == described["contrast_prediction"]


def test_tables_have_a_column_for_each_number_that_is_known(tmp_path):
    write_result(three(made_predictions(head_ranks=None)), tmp_path / "why.csv")
    with (tmp_path / "why.csv").open() as file:
        found = list(csv.DictReader(file))
    assert [row["test_score"] for row in found] == ["1.5", "-2.25", "nan"]
    assert [row["test_filtered_tail_rank"] for row in found] == ["1.0", "10.5", "1200.0"]
    assert "test_raw_head_rank" not in found[0]
    assert not any(name.startswith("test_score") for name in in_sets().to_pandas().columns)


def test_results_of_earlier_versions_have_no_predictions(tmp_path):
    made_result(ranked([0.5]), run={"schema_version": 3}).write_json(tmp_path / "why.json")
    assert read_result(tmp_path / "why.json").predictions is None


@pytest.mark.parametrize("wrong", [{"score": "high"}, {"score": True}, {"train_index": 3}, {"raw_tail_rank": [1]}])
def test_a_damaged_prediction_is_refused(tmp_path, monkeypatch, wrong):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside of tests
    contents = to_dict(of_one(three(), 1))
    contents["prediction"] |= wrong
    (tmp_path / "why.json").write_text(json.dumps(contents))
    with pytest.raises(ResultError, match=r"why\.json: no result of tracin-dask, or a damaged one"):
        read_result(tmp_path / "why.json")


def test_one_answer_starts_with_score_probability_and_ranks():
    text = shown(answer_tables(three(), 1)).splitlines()
    assert " ".join(text[:3]).startswith(
        "Score: -2.25, probability 0.0953. Rank of the tail: 10.5 of 1,234 entities (25.5 counting the tails of other "
        "training triples). Rank of the head: 1 of 1,234 entities (4.5 counting the heads of other training triples)."
    )
    assert "Note: this is a training triple: line 7." in shown(answer_tables(three(), 1))
    assert "Score: not finite" in shown(answer_tables(three(), 2))


def test_the_other_tail_has_a_line_of_its_own():
    text = shown(answer_tables(with_contrast(), 0))
    assert "Score with the other tail: -1. Rank of the tail" in text


def test_of_several_checkpoints_the_last_one_is_named():
    checkpoints = [{"path": "early.pt"}, {"path": "late.pt"}]
    given = three(run=ABOUT | {"checkpoints": checkpoints})
    assert "probability 0.817 by the last checkpoint, late.pt." in shown(answer_tables(given, 0))


def test_members_of_a_set_are_listed_with_their_notes():
    text = shown(answer_tables(in_sets(), 1))
    assert "+1.5" in text
    assert "this is a training triple, 4 times: lines 2," in " ".join(text.split())
    assert "-2.25" not in text


def test_notes_say_what_is_unusual_about_a_test_triple():
    given = three()
    assert notes(given, 0) == ["this is a training triple backwards: line 4"]
    assert notes(given, 2)[1] == "this is a training triple, 4 times: lines 2, 9, 10, …"
    assert notes(replace(given, predictions=made_predictions(tail_ranks=None)), 1) == [
        "this is a training triple: line 7"
    ]
    other = with_contrast()
    assert notes(other, 1)[-1] == "the triple with the other tail is a training triple: line 7"


def test_many_answers_are_summed_up():
    assert predicted(three()) == [
        ONE_OF_THREE,
        "2 of 3 test triples are training triples",
    ]
    assert predicted(of_one(three(), 1)) == []
    assert predicted(made_result(ranked([0.5]))) == []


def test_ranks_that_all_would_add_are_named_and_those_that_the_model_cannot_give_are_not():
    slow, unable = "it takes long, see --ranks all", "the model cannot"
    for reasons, expected in (
        ({"why_no_head_ranks": unable}, []),
        ({"why_no_head_ranks": slow}, [f"no ranks of the heads: {slow}"]),
        ({"why_no_tail_ranks": slow, "why_no_head_ranks": slow}, [f"no ranks of the tails and heads: {slow}"]),
        ({"why_no_tail_ranks": "--ranks none", "why_no_head_ranks": "--ranks none"}, []),
    ):
        run = {"prediction": ABOUT["prediction"] | reasons}
        assert predicted(replace(of_one(three(run=run), 1), run=three(run=run).run)) == expected


def test_the_list_of_answers_has_the_ranks_of_tails():
    text = shown(list_of_answers(three()))
    assert "tail rank" in text
    assert "1,200" in text
    assert "tail rank" not in shown(list_of_answers(three(made_predictions(tail_ranks=None))))
