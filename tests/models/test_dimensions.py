"""Sizes that a file does not state follow from its shapes, or are asked for."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from tracin_dask.errors import CheckpointError
from tracin_dask.models.conve.dimensions import possible_image_sizes
from tracin_dask.models.conve.load import load_conve
from tracin_dask.models.conve.model import ConvE, ConvEConfig

AMBIGUOUS = ConvEConfig(num_entities=3, num_relations=2, embedding_dim=200, output_channels=2)


@pytest.fixture
def save(tmp_path):
    def save(contents):
        path = tmp_path / "model.pt"
        torch.save(contents, path)
        return path

    return save


@pytest.fixture
def ambiguous(make_model):
    return make_model(AMBIGUOUS).state_dict()


@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stacking=st.sampled_from(["width", "height"]),
)
def test_possible_image_sizes_include_the_true_one_and_all_fit_the_features(height, width, kernel, stacking):
    def positions(height, width):
        rows, columns = (2 * height, width) if stacking == "height" else (height, 2 * width)
        return (rows - kernel[0] + 1, columns - kernel[1] + 1)

    true = positions(height, width)
    assume(min(true) >= 1)
    found = possible_image_sizes(height * width, true[0] * true[1], kernel=kernel, stacking=stacking)
    assert (height, width) in found
    for h, w in found:
        rows, columns = positions(h, w)
        assert h * w == height * width
        assert rows * columns == true[0] * true[1]
        assert min(rows, columns) > 0


def test_several_possible_image_sizes_are_listed_in_the_error(ambiguous, save):
    with pytest.raises(CheckpointError, match=r"10×20, 40×5; .*--embedding-height and --embedding-width"):
        load_conve(save(ambiguous))


@pytest.mark.parametrize("given", [{"embedding_height": 40}, {"embedding_width": 5}])
def test_one_given_side_determines_the_image_size(given, ambiguous, save):
    config = load_conve(save(ambiguous), **given).config
    assert (config.embedding_height, config.embedding_width) == (40, 5)


def test_a_stated_image_size_is_used(ambiguous, save):
    config = {"embedding_height": 10, "embedding_width": 20, "output_channels": None}
    loaded = load_conve(save({"model_state_dict": ambiguous, "model_config": config}))
    assert loaded.config == AMBIGUOUS


def test_a_given_image_size_that_does_not_fit_is_refused(ambiguous, save):
    with pytest.raises(CheckpointError, match=r"image size 20×10 does not give the 608 features .*10×20, 40×5"):
        load_conve(save(ambiguous), embedding_height=20, embedding_width=10)


def test_a_given_image_size_that_contradicts_the_stated_one_is_refused(ambiguous, save):
    contents = {"model_state_dict": ambiguous, "model_config": {"embedding_height": 10}}
    with pytest.raises(CheckpointError, match=r"states embedding_height 10, but .* say 40"):
        load_conve(save(contents), embedding_height=40, embedding_width=5)


@pytest.mark.parametrize(
    ("name", "value"), [("num_entities", 4), ("embedding_dim", 32), ("output_channels", 3), ("kernel_height", 2)]
)
def test_a_stated_size_that_contradicts_the_shapes_is_refused_with_both(name, value, ambiguous, save):
    config = {"embedding_height": 10, name: value}
    with pytest.raises(CheckpointError, match=rf"states {name} {value}, but .* say {getattr(AMBIGUOUS, name)};"):
        load_conve(save({"model_state_dict": ambiguous, "config": {"model": config}}))


def test_a_stated_image_size_that_is_not_a_number_is_refused(ambiguous, save):
    contents = {"model_state_dict": ambiguous, "config": {"embedding_height": "ten"}}
    with pytest.raises(CheckpointError, match="states embedding_height 'ten', which is not a whole number"):
        load_conve(save(contents))


def test_features_that_no_image_size_gives_are_refused(ambiguous, save):
    state = {**ambiguous, "fc.weight": torch.ones(200, 610)}
    with pytest.raises(
        CheckpointError, match=r"no image size gives the 610 features .*dim 200, 2 channels, kernel 3×3"
    ):
        load_conve(save(state))


def test_features_that_are_no_multiple_of_the_channels_are_refused(ambiguous, save):
    state = {**ambiguous, "fc.weight": torch.ones(200, 609)}
    with pytest.raises(CheckpointError, match="takes 609 features, not a multiple of conv1's 2 channels"):
        load_conve(save(state))


def test_a_tensor_with_other_axes_is_refused(ambiguous, save):
    state = {**ambiguous, "conv1.weight": torch.ones(2, 3, 3)}
    with pytest.raises(CheckpointError, match=r"conv1\.weight has the shape \(2, 3, 3\); a ConvE has 4 axes there"):
        load_conve(save(state))


def test_image_sizes_can_be_ambiguous_in_one_dialect_only():
    positions = ConvE(AMBIGUOUS).config.num_positions
    assert possible_image_sizes(200, positions, kernel=(3, 3), stacking="height") == [(5, 40), (20, 10)]
