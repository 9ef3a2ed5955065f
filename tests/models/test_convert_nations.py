"""A train_pytorch checkpoint, converted, in PyKEEN's own ConvE: all triples of PyKEEN's Nations score the same."""

import pytest
import torch
from pykeen.datasets import Nations
from pykeen.models import ConvE as PyKEENConvE

from tracin_dask.models.conve.convert import convert_checkpoint
from tracin_dask.models.conve.load import load_conve
from tracin_dask.models.conve.model import ConvEConfig


@pytest.fixture(scope="module")
def nations():
    return Nations().training


@pytest.fixture
def trained(nations, make_model, tmp_path):
    """A model of the train_pytorch dialect with Nations' sizes, and its file; the image is not square."""

    def make(dtype):
        config = ConvEConfig(
            num_entities=nations.num_entities,
            num_relations=nations.num_relations,
            embedding_dim=32,
            embedding_height=8,
            embedding_width=4,
            output_channels=5,
            kernel_height=3,
            kernel_width=2,
        )
        model = make_model(config, dtype)
        sizes = {name: getattr(config, name) for name in ("embedding_height", "embedding_width", "output_channels")}
        torch.save({"model_state_dict": model.state_dict(), "model_config": sizes}, tmp_path / "best_model.pt")
        return model, tmp_path / "best_model.pt"

    return make


def every_triple(graph):
    entities, relations = torch.arange(graph.num_entities), torch.arange(graph.num_relations)
    return torch.cartesian_prod(entities, relations, entities)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_a_converted_model_in_pykeen_gives_equal_scores_on_nations(nations, trained, tmp_path, dtype, tolerance):
    model, path = trained(dtype)
    convert_checkpoint(path, tmp_path / "pykeen.pt", "pykeen")
    contents = torch.load(tmp_path / "pykeen.pt", weights_only=True)
    sizes = {name: size for name, size in contents["model_config"].items() if not name.startswith("num_")}
    theirs = PyKEENConvE(nations, random_seed=0, **sizes).to(dtype).eval()
    theirs.load_state_dict(contents["model_state_dict"])
    triples = every_triple(nations)
    assert len(triples) == 14 * 55 * 14
    with torch.no_grad():
        expected, found = model.score(triples), theirs.score_hrt(triples).squeeze(1)
    assert expected.std() > 0.1
    assert float((found - expected).abs().max()) < tolerance


def test_a_pykeen_model_converted_to_train_pytorch_gives_equal_scores_on_nations(nations, tmp_path):
    theirs = (
        PyKEENConvE(nations, embedding_dim=24, embedding_height=4, embedding_width=6, random_seed=0).double().eval()
    )
    torch.save({"state_dict": theirs.state_dict(), "version": 1}, tmp_path / "pykeen.pt")
    convert_checkpoint(tmp_path / "pykeen.pt", tmp_path / "made.pt", "train_pytorch", embedding_height=4)
    ours = load_conve(tmp_path / "made.pt", dtype=torch.float64)
    triples = every_triple(nations)
    with torch.no_grad():
        torch.testing.assert_close(ours.model.score(triples), theirs.score_hrt(triples).squeeze(1), rtol=0, atol=1e-12)
