"""Numbers from other tools: what studies ask, and the files that they read."""

from dataclasses import replace

import numpy as np
import oracle
import pytest
import torch
from small_study import PLAIN, SETTINGS, study_in

from tracin_dask import load_checkpoint
from tracin_dask.errors import ConfigError, ScoresError
from tracin_dask.validation.given import QUESTION
from tracin_dask.validation.methods import Method
from tracin_dask.validation.studies.deletion import DeletionPlan, deletion
from tracin_dask.validation.studies.lds import SubsetPlan, lds
from tracin_dask.validation.studies.mislabel import applicable
from tracin_dask.validation.studies.stability import StabilityPlan, stability

PLAN = SubsetPlan(num_subsets=4, num_tests=5, repeats=1)
THEIRS = Method(name="theirs", scores="theirs/scores.npy")


def answer(folder):
    """Be another tool: compute plain TracIn from nothing but the file with the question."""
    with np.load(folder / QUESTION) as question:
        train, tests, names = (question[name] for name in ("training_triples", "test_triples", "checkpoints"))
    model = load_checkpoint(folder / names[-1]).model
    products = oracle.products(model, torch.from_numpy(train).long(), torch.from_numpy(tests))
    (folder / "theirs").mkdir()
    np.save(folder / THEIRS.scores, sum(products.values()).detach().numpy().T)


def rows_of(table, method):
    return [(row.condition, row.measure, row.estimate.value) for row in table.rows if row.method == method]


def test_numbers_that_another_tool_computes_for_the_stated_question_score_as_those_of_a_run(tmp_path):
    lds(study_in(tmp_path, PLAIN), PLAN)
    answer(tmp_path)
    table = lds(study_in(tmp_path, PLAIN, THEIRS), PLAN)
    assert rows_of(table, "theirs") == rows_of(table, "plain") != []
    assert table.about["methods"]["theirs"] == [{"scores": "theirs/scores.npy"}, 1]


def test_deletion_deletes_the_proponents_that_another_tool_names(tmp_path):
    plan, settings = DeletionPlan(num_tests=3, top_k=(1,), num_seeds=1), replace(SETTINGS, num_epochs=25)
    deletion(study_in(tmp_path, PLAIN, settings=settings), plan)
    answer(tmp_path)
    table = deletion(study_in(tmp_path, PLAIN, THEIRS, settings=settings), plan)
    assert rows_of(table, "theirs") == rows_of(table, "plain") != []


def test_files_that_do_not_answer_the_question_are_refused(tmp_path):
    study, path = study_in(tmp_path, THEIRS), tmp_path / THEIRS.scores
    with pytest.raises(ScoresError, match=r"scores\.npy is no NumPy file .* has the 5 test and 178 training triples"):
        lds(study, PLAN)
    assert (tmp_path / QUESTION).is_file()
    path.parent.mkdir()
    good = np.zeros((5, 178))
    for wrong, message in (
        (good.T, r"has float64 \[178, 5\]; expected numbers \[5, 178\]"),
        (good.astype(str), r"has <U32 \[5, 178\]"),
        (np.full_like(good, np.nan), r"NaN or infinity among the training triples 0 to 178"),
    ):
        np.save(path, wrong)
        with pytest.raises(ScoresError, match=message):
            lds(study, PLAN)
    with path.open("wb") as file:
        np.savez(file, good)
    with pytest.raises(ScoresError, match="has several arrays"):
        lds(study, PLAN)


def test_studies_without_a_question_leave_scores_from_elsewhere_out(tmp_path):
    kept, (note,) = applicable(study_in(tmp_path / "a", PLAIN, THEIRS))
    assert kept == [PLAIN]
    assert note.endswith(": theirs")
    with pytest.raises(ConfigError, match="no method reads a trained model"):
        stability(study_in(tmp_path / "b", THEIRS), StabilityPlan(num_tests=2, num_seeds=2))
