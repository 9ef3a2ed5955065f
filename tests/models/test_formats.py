"""A format of one's own: a function recognises its files, and the format makes their model on workers, too."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
import torch
from influence.any_model import NUM_ENTITIES, NUM_RELATIONS, SETTINGS, pykeen_model
from torch import Tensor

from tracin_dask.models import load
from tracin_dask.models.checkpoints.checkpoint_file import CheckpointFile
from tracin_dask.models.checkpoints.files import read_torch_file
from tracin_dask.models.checkpoints.model_format import LoadOptions, ModelFormat, Recognised
from tracin_dask.models.described import DescribedFormat
from tracin_dask.models.description import ModelDescription

NAMES = {
    "entity_representations.0._embeddings.weight": "_entity_embedder.weight",
    "relation_representations.0._embeddings.weight": "_relation_embedder.weight",
}
TRIPLES = torch.tensor([[0, 1, 2], [5, 0, 5], [16, 3, 0]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedders:
    """Files {"config": ..., "model": [tensors, ...]} of another program: PyKEEN's DistMult under other names."""

    described: DescribedFormat
    name: str = "embedders"
    is_pickle: bool = False

    def build(self, contents: Mapping[object, object], dtype: torch.dtype):
        theirs: Mapping[str, Tensor] = contents["model"][0]
        return self.described.description.build({ours: theirs[name] for ours, name in NAMES.items()}, dtype=dtype)

    def read(self, path, *, dtype):
        return self.build(read_torch_file(path), dtype)

    def dump(self, model):
        return self.described.dump(model)

    def restore(self, dumped, *, dtype):
        return self.described.restore(dumped, dtype=dtype)

    def names_in_file(self, *_):
        return NAMES


def recognise(contents: Mapping[object, object], options: LoadOptions) -> Recognised | None:
    match contents:
        case {"config": {"model": str(name)}, "model": [Mapping(), *_]}:
            description = ModelDescription(model=name, model_kwargs=SETTINGS["DistMult"])
            model_format = Embedders(described=DescribedFormat(description=description))
            return Recognised(model=model_format.build(contents, options.dtype), format=model_format)
    return None


@pytest.fixture
def model():
    return pykeen_model("DistMult")


@pytest.fixture
def path(model, tmp_path, monkeypatch):
    monkeypatch.setattr(load, "FORMATS", (recognise, *load.FORMATS))
    tensors = {NAMES[name]: tensor for name, tensor in model.state_dict().items() if name in NAMES}
    torch.save({"config": {"model": "distmult"}, "model": [tensors]}, tmp_path / "checkpoint.pt")
    return tmp_path / "checkpoint.pt"


def scores(model) -> Tensor:
    with torch.no_grad():
        return model.score(TRIPLES)


def test_a_file_of_a_new_format_is_recognised_and_scores_as_its_program(path, model):
    checkpoint = load.load_checkpoint(path, dtype=torch.float64)
    assert isinstance(checkpoint.format, ModelFormat)
    assert (checkpoint.format.name, checkpoint.config.num_entities) == ("embedders", NUM_ENTITIES)
    assert checkpoint.config.num_relations == NUM_RELATIONS
    with torch.no_grad():
        assert torch.equal(scores(checkpoint.model), model.score_hrt(TRIPLES).flatten())


def test_workers_make_the_model_of_a_new_format_from_the_file_or_from_bytes(path, monkeypatch):
    file = CheckpointFile.of(load.load_checkpoint(path, dtype=torch.float64))
    monkeypatch.setattr(load, "FORMATS", ())  # a worker does not recognise files: it gets the format
    here = file.load()
    sent = replace(file, sent=file.dump())
    path.unlink()
    assert torch.equal(scores(sent.load().model), scores(here.model))


@pytest.mark.usefixtures("path")
def test_other_files_are_recognised_as_before(model, tmp_path):
    torch.save(model.state_dict(), tmp_path / "state.pt")
    description = ModelDescription(model="DistMult", model_kwargs=SETTINGS["DistMult"])
    assert load.load_checkpoint(tmp_path / "state.pt", description=description).format.name == description.name
