"""What a study says of files of its folder that are damaged or gone, and of methods that its models cannot have."""

import pytest
from small_study import PLAIN, RANDOM, study_in

from tracin_dask.errors import ConfigError, ResumeError, ScoresError
from tracin_dask.validation.folder import STUDY
from tracin_dask.validation.methods import Method
from tracin_dask.validation.studies.lds import SubsetPlan, lds

PLAN = SubsetPlan(num_subsets=3, num_tests=3, repeats=1)


@pytest.fixture
def study(tmp_path):
    """A finished study."""
    made = study_in(tmp_path / "study", PLAIN)
    lds(made, PLAN)
    return made


def chunks(study):
    return [path for path in study.folder.path.glob("influences/*.zarr/influence/c/*/*") if path.is_file()]


def test_influences_that_are_gone_are_refused_and_computed_again_once_they_are_deleted(study):
    before = lds(study, PLAN)
    (chunk, *_) = chunks(study)
    chunk.unlink()
    with pytest.raises(ScoresError, match=r"has lost influences of the training triples 0 to .*; delete it"):
        lds(study, PLAN)
    for path in study.folder.path.glob("influences/*.zarr"):
        path.rename(path.with_suffix(".old"))
    assert lds(study, PLAN).rows == before.rows


@pytest.mark.parametrize("data", [b"", b"nothing"])
def test_damaged_influences_are_refused(study, data):
    for chunk in chunks(study):
        chunk.write_bytes(data)
    with pytest.raises(ScoresError, match=r"\.zarr is damaged .*; delete it"):
        lds(study, PLAN)


def test_influences_without_their_description_are_refused(study):
    for path in study.folder.path.glob("influences/*.zarr/zarr.json"):
        path.write_bytes(b"{")
    with pytest.raises(ScoresError, match=r"\.zarr is damaged .*; delete it"):
        lds(study, PLAN)


@pytest.mark.parametrize("kept", [0, 100])
def test_a_damaged_training_is_refused(study, kept):
    (path, *_) = sorted((study.folder.path / "trainings").iterdir())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ResumeError, match=r"\.npz is damaged .*; delete it, and its training is repeated"):
        lds(study, PLAN)


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_damaged_statement_is_refused(study, text):
    (study.folder.path / STUDY).write_text(text)
    with pytest.raises(ResumeError, match="choose another --output-dir"):
        lds(study, PLAN)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Method(name="a", options={"parameters": ["nothing.*"]}), "method 'a': .*nothing"),
        (Method(name="a", checkpoints=(99,)), "'a' needs the checkpoint of epoch 99"),
    ],
)
def test_methods_that_the_models_cannot_have_are_refused_before_anything_is_trained(tmp_path, method, message):
    study = study_in(tmp_path / "study", RANDOM, method)
    with pytest.raises(ConfigError, match=message):
        lds(study, PLAN)
    assert not (study.folder.path / "trainings").exists()
