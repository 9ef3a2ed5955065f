"""Conversion between the dialects: every score stays, both ways, and what has no counterpart is refused."""

import sys
from dataclasses import replace

import pytest
import torch

from tracin_dask.errors import CheckpointError, ConfigError
from tracin_dask.models.conve.convert import convert_checkpoint
from tracin_dask.models.conve.load import load_conve
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.conve.verify import compare_checkpoints

SIDE_BY_SIDE = ConvEConfig(
    num_entities=7,
    num_relations=3,
    embedding_dim=20,
    embedding_height=4,
    embedding_width=5,
    output_channels=2,
    kernel_height=3,
    kernel_width=2,
)
ABOVE = replace(SIDE_BY_SIDE, stacking="height", has_entity_bias=True)
BOTH_WAYS = [(SIDE_BY_SIDE, "pykeen"), (ABOVE, "train_pytorch")]
PYKEEN_COUNTER = "interaction.hr2d.0.num_batches_tracked"


@pytest.fixture
def saved(make_model, make_state, tmp_path):
    def save(config, dtype=torch.float64, *, bias=0.0, **more):
        model = make_model(config, dtype)
        if model.entity_bias is not None:
            torch.nn.init.constant_(model.entity_bias, bias)
        state = {name: tensor + 5 if "num_batches" in name else tensor for name, tensor in make_state(model).items()}
        sizes = {name: getattr(config, name) for name in ("embedding_height", "embedding_width")}
        path = tmp_path / "given.pt"
        torch.save({"model_state_dict": state, "model_config": sizes, **more}, path)
        return path, model

    return save


def all_scores(model):
    config = model.config
    pairs = torch.cartesian_prod(torch.arange(config.num_entities), torch.arange(config.num_relations))
    with torch.no_grad():
        return model(pairs[:, 0], pairs[:, 1])


@pytest.mark.parametrize(("config", "to"), BOTH_WAYS)
def test_conversion_keeps_every_score(saved, tmp_path, config, to):
    path, model = saved(config)
    convert_checkpoint(path, tmp_path / "made.pt", to)
    made = load_conve(tmp_path / "made.pt", dtype=torch.float64)
    assert made.format.name == to
    assert (made.config.embedding_height, made.config.embedding_width) == (5, 4)
    assert (made.config.kernel_height, made.config.kernel_width) == (2, 3)
    torch.testing.assert_close(all_scores(made.model), all_scores(model), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("config", "to"), BOTH_WAYS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_converting_there_and_back_gives_the_same_bits(saved, tmp_path, config, to, dtype):
    path, _ = saved(config, dtype)
    convert_checkpoint(path, tmp_path / "there.pt", to)
    convert_checkpoint(
        tmp_path / "there.pt", tmp_path / "back.pt", "pykeen" if to == "train_pytorch" else "train_pytorch"
    )
    given, back = (torch.load(file, weights_only=True)["model_state_dict"] for file in (path, tmp_path / "back.pt"))
    assert set(given) - set(back) <= {"entity_representations.0.regularizer.weight"}
    for name, tensor in back.items():
        assert tensor.dtype == given[name].dtype
        assert torch.equal(tensor, given[name]), name


@pytest.mark.parametrize(("config", "to"), BOTH_WAYS)
def test_conversion_keeps_metadata_but_not_the_optimizer_state(saved, tmp_path, config, to):
    stated = {"learning_rate": 0.02, "epoch": 3, "id_maps_sha256": "ab", "metrics": {"mean_reciprocal_rank": 0.5}}
    path, _ = saved(config, **stated, optimizer_state_dict={"state": {}, "param_groups": [{"lr": 0.1}]})
    given = convert_checkpoint(path, tmp_path / "made.pt", to)
    contents = torch.load(tmp_path / "made.pt", weights_only=True)
    assert {name: contents[name] for name in stated} == stated
    assert "optimizer_state_dict" not in contents
    origin = contents["converted_from"]
    assert (origin["file"], origin["sha256"], origin["dialect"]) == ("given.pt", given.sha256, given.format.name)
    sizes = {"num_entities": 7, "num_relations": 3, "embedding_dim": 20, "output_channels": 2}
    assert contents["model_config"].items() >= {**sizes, "embedding_height": 5, "embedding_width": 4}.items()


def test_conversion_keeps_the_learning_rate_of_the_optimizer(saved, tmp_path):
    path, _ = saved(SIDE_BY_SIDE, optimizer_state_dict={"state": {}, "param_groups": [{"lr": 0.1}]})
    convert_checkpoint(path, tmp_path / "made.pt", "pykeen")
    made = load_conve(tmp_path / "made.pt")
    assert (made.learning_rate, made.epoch, made.id_maps_sha256) == (0.1, None, None)


def test_conversion_keeps_that_one_learning_rate_is_not_that_of_all_tensors(saved, tmp_path):
    groups = [{"lr": 0.1, "params": [0]}, {"lr": 0.2, "params": [1, 2]}]
    path, _ = saved(SIDE_BY_SIDE, optimizer_state_dict={"state": {}, "param_groups": groups})
    convert_checkpoint(path, tmp_path / "made.pt", "pykeen")
    with pytest.raises(CheckpointError, match=r"group 0 of 1 tensors: 0\.1; group 1 of 2 tensors: 0\.2"):
        load_conve(tmp_path / "made.pt").usable_learning_rate()


def test_a_bare_state_dict_without_counters_is_converted(saved, tmp_path):
    path, _ = saved(SIDE_BY_SIDE)
    state = torch.load(path, weights_only=True)["model_state_dict"]
    torch.save({name: tensor for name, tensor in state.items() if "num_batches" not in name}, path)
    given = convert_checkpoint(path, tmp_path / "made.pt", "pykeen", embedding_height=4)
    assert PYKEEN_COUNTER not in torch.load(tmp_path / "made.pt", weights_only=True)["model_state_dict"]
    assert compare_checkpoints(given, tmp_path / "made.pt").largest_difference < 1e-12


def test_conversion_saves_views_without_the_larger_tensor(saved, tmp_path):
    path, _ = saved(SIDE_BY_SIDE)
    contents = torch.load(path, weights_only=True)
    table = torch.cat([contents["model_state_dict"]["bn0.weight"], torch.zeros(500_000)])
    contents["model_state_dict"]["bn0.weight"] = table[:1]
    torch.save(contents, path)
    assert path.stat().st_size > 2_000_000
    convert_checkpoint(path, tmp_path / "made.pt", "pykeen")
    assert (tmp_path / "made.pt").stat().st_size < 100_000


def test_entities_with_biases_have_no_counterpart(saved, tmp_path):
    path, _ = saved(ABOVE, bias=-0.5)
    expected = (
        r"given\.pt: 7 of 7 entities have a bias other than 0 \(the largest is 0\.5\), and the dialect train_pytorch"
    )
    with pytest.raises(CheckpointError, match=expected):
        convert_checkpoint(path, tmp_path / "made.pt", "train_pytorch")
    assert not (tmp_path / "made.pt").exists()


def test_converting_to_the_same_dialect_is_refused(saved, tmp_path):
    path, _ = saved(SIDE_BY_SIDE)
    with pytest.raises(CheckpointError, match="has the dialect train_pytorch already; there is nothing to convert"):
        convert_checkpoint(path, tmp_path / "made.pt", "train_pytorch")


def test_converting_an_unknown_dialect_is_refused(saved, tmp_path):
    path, _ = saved(SIDE_BY_SIDE)
    with pytest.raises(
        ConfigError, match="'libkge' is not a dialect of ConvE checkpoints; choose train_pytorch or pykeen"
    ):
        convert_checkpoint(path, tmp_path / "made.pt", "libkge")


def test_converting_other_layers_is_refused(saved, tmp_path):
    path, _ = saved(SIDE_BY_SIDE)
    contents = torch.load(path, weights_only=True)
    contents["model_state_dict"]["fc2.weight"] = torch.zeros(2)
    torch.save(contents, path)
    with pytest.raises(CheckpointError, match=r"has the unknown fc2\.weight"):
        convert_checkpoint(path, tmp_path / "made.pt", "pykeen")


class TestVerification:
    @pytest.mark.parametrize(("config", "to"), BOTH_WAYS)
    def test_verification_scores_with_the_pykeen_model_if_installed(self, saved, tmp_path, config, to):
        path, _ = saved(config, torch.float32)
        found = compare_checkpoints(convert_checkpoint(path, tmp_path / "made.pt", to), tmp_path / "made.pt")
        assert found.pykeen_side == "PyKEEN's own ConvE"
        assert found.largest_score > 0.1
        assert found.largest_difference < 1e-12

    def test_verification_without_pykeen_scores_with_our_model(self, saved, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "pykeen", None)
        path, _ = saved(SIDE_BY_SIDE)
        found = compare_checkpoints(convert_checkpoint(path, tmp_path / "made.pt", "pykeen"), tmp_path / "made.pt")
        assert found.pykeen_side == "this package's ConvE, as PyKEEN is not installed"
        assert found.largest_difference < 1e-12

    @pytest.mark.parametrize(
        "name", ["interaction.hr2d.2.weight", "interaction.hr1d.0.weight", "interaction.hr1d.2.bias"]
    )
    def test_verification_refuses_a_model_with_other_scores(self, saved, tmp_path, name):
        path, _ = saved(SIDE_BY_SIDE)
        made = tmp_path / "made.pt"
        given = convert_checkpoint(path, made, "pykeen")
        contents = torch.load(made, weights_only=True)
        contents["model_state_dict"][name] = contents["model_state_dict"][name].flip(0)
        torch.save(contents, made)
        with pytest.raises(CheckpointError, match=r"made\.pt does not score as .*given\.pt: scores differ by up to"):
            compare_checkpoints(given, made)
