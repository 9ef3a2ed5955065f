"""Trainings of a study equal trainings alone, are kept, and are never repeated or mixed with others."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_study import NUM_RELATIONS, SETTINGS, SIZES, study_in

from tracin_dask.errors import ResumeError
from tracin_dask.models.load import load_checkpoint
from tracin_dask.models.training.evaluation import KnownTails, tail_ranks
from tracin_dask.models.training.settings import TrainingData
from tracin_dask.models.training.together.trained import Retraining
from tracin_dask.models.training.together.training import train_together
from tracin_dask.validation import models
from tracin_dask.validation.folder import StudyFolder
from tracin_dask.validation.models import spread_epochs
from tracin_dask.validation.rows import AllRows, ChangedRows, RandomSubset
from tracin_dask.validation.trainings import Training


@pytest.fixture
def study(tmp_path):
    return study_in(tmp_path / "study")


def test_a_training_of_a_study_is_measured_as_the_model_that_the_trainer_gives(study):
    subset = RandomSubset(fraction=0.5, seed=3)
    measured = study.bench(study.graph.test).measured([Training(rows=subset, seed=9)])
    triples = study.graph.triples.astype(np.int64)
    retraining = Retraining(seed=9, rows=subset.select(len(triples)))
    model = train_together(TrainingData(train=triples), SIZES, [retraining], config=SETTINGS).model(0).eval()
    tests = torch.from_numpy(study.graph.test)
    scores = model(tests[:, 0], tests[:, 1]).detach()
    own = scores.gather(1, tests[:, 2:]).squeeze(1)
    others = scores.scatter(1, tests[:, 2:], -torch.inf).logsumexp(dim=1)
    labels = torch.nn.functional.one_hot(tests[:, 2], SIZES.num_entities) * 0.9 + 0.1 / SIZES.num_entities
    losses = torch.nn.functional.binary_cross_entropy_with_logits(scores, labels, reduction="none").mean(dim=1)
    known = KnownTails.from_triples(np.concatenate([triples, study.graph.test]), NUM_RELATIONS)
    np.testing.assert_allclose(measured.score[0], own, atol=1e-4)
    np.testing.assert_allclose(measured.margin[0], own - others, atol=1e-4)
    np.testing.assert_allclose(measured.loss[0], losses, atol=1e-5)
    np.testing.assert_array_equal(measured.rank[0], tail_ranks(model, study.graph.test, known))


def test_finished_trainings_are_not_repeated_and_only_missing_ones_are_added(study, monkeypatch):
    counted = []
    train_all = models.train_all
    monkeypatch.setattr(models, "train_all", lambda *args: counted.append(len(args[1])) or train_all(*args))
    trainings = [Training(rows=RandomSubset(fraction=0.5, seed=seed), seed=seed) for seed in range(4)]
    bench = study.bench(study.graph.test)
    first = bench.measured(trainings[:3])
    again = bench.measured(trainings)
    assert counted == [3, 1]
    np.testing.assert_array_equal(again.margin[:3], first.margin)


def test_checkpoints_of_a_training_are_kept_for_runs(study):
    training = Training(rows=AllRows(), seed=1, checkpoint_epochs=(2, 4))
    bench = study.bench(study.graph.test)
    measured = bench.measured([training])
    early, last = (load_checkpoint(path) for path in bench.checkpoints(training))
    assert (early.epoch, last.epoch, last.learning_rate) == (1, 3, 0.02)
    tests = torch.from_numpy(study.graph.test)
    np.testing.assert_allclose(last.model.score(tests).detach(), measured.score[0], atol=1e-4)


def test_trainings_on_other_rows_seeds_tests_or_settings_have_other_names(study):
    rows = ChangedRows(without=np.array([1]))
    bench = study.bench(study.graph.test)
    keys = [
        bench.material.key(Training(rows=AllRows(), seed=1)),
        bench.material.key(Training(rows=AllRows(), seed=2)),
        bench.material.key(Training(rows=rows, seed=1)),
        bench.material.key(Training(rows=AllRows(), seed=1, checkpoint_epochs=(4,))),
        study.bench(study.graph.test[:3]).material.key(Training(rows=AllRows(), seed=1)),
        replace(study, settings=replace(SETTINGS, num_epochs=5))
        .bench(study.graph.test)
        .material.key(Training(rows=AllRows(), seed=1)),
    ]
    assert len(set(keys)) == len(keys)


def test_a_folder_of_another_study_is_refused_with_the_difference(study):
    study.claim("lds")
    study.claim("lds")
    with pytest.raises(ResumeError, match="has a study with study lds, now it is deletion"):
        study.claim("deletion")
    with pytest.raises(ResumeError, match="has a study with base seed 0, now it is 1"):
        replace(study, seed=1).claim("lds")


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("Chapter 1")
    with pytest.raises(ResumeError, match="has files, but no study"):
        StudyFolder(path=tmp_path).claim({"study": "lds"})


def test_a_damaged_result_of_a_training_is_named(study):
    training = Training(rows=AllRows(), seed=1)
    bench = study.bench(study.graph.test)
    bench.measured([training])
    path = study.folder.path / "trainings" / f"{bench.material.key(training)}.npz"
    path.write_bytes(b"cut off")
    with pytest.raises(ResumeError, match=rf"{path.name} is damaged .*; delete it, and its training is repeated"):
        bench.measured([training])


@pytest.mark.parametrize(("epochs", "expected"), [(30, (1, 11, 20, 30)), (2, (1, 2)), (1, (1,))])
def test_checkpoints_are_spread_over_the_epochs(epochs, expected):
    assert spread_epochs(epochs) == expected
