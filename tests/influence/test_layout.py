"""The feature map is cut into regions without gap or overlap, and folding changes no feature."""

from dataclasses import fields

import torch
from conftest import random_model
from hypothesis import given, settings
from hypothesis import strategies as st

from tracin_dask.influence.batch import index_batch
from tracin_dask.influence.conve.folded import fold
from tracin_dask.influence.conve.forward_pass import forward, scores
from tracin_dask.influence.conve.regions import Sees, feature_order, regions
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.precision import Precision
from tracin_dask.models.conve.model import ConvEConfig


@st.composite
def configs(draw) -> ConvEConfig:
    """Draw any dialect, image, and kernel that fits the stacked image."""
    stacking = draw(st.sampled_from(["width", "height"]))
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    tallest, widest = (height, 2 * width) if stacking == "width" else (2 * height, width)
    return ConvEConfig(
        num_entities=6,
        num_relations=3,
        embedding_dim=height * width,
        embedding_height=height,
        embedding_width=width,
        output_channels=draw(st.integers(1, 3)),
        kernel_height=draw(st.integers(1, tallest)),
        kernel_width=draw(st.integers(1, widest)),
        stacking=stacking,
    )


def images_seen(config: ConvEConfig, row: int, column: int) -> Sees:
    """Tell by the definition of a convolution what one place of the feature map looks at."""
    first, kernel, image = (
        (column, config.kernel_width, config.embedding_width)
        if config.stacking == "width"
        else (row, config.kernel_height, config.embedding_height)
    )
    if first + kernel <= image:
        return Sees.HEAD
    return Sees.RELATION if first >= image else Sees.BOTH


@given(configs())
def test_regions_partition_the_feature_map_by_what_they_see(config):
    found = [(row, column, cut.sees) for cut in regions(config) for row in cut.rows for column in cut.columns]
    places = [(row, column) for row in range(config.map_height) for column in range(config.map_width)]
    assert sorted(found, key=lambda place: place[:2]) == [(*p, images_seen(config, *p)) for p in places]


@given(configs())
def test_the_feature_order_is_a_permutation_cut_by_the_regions(config):
    assert feature_order(config).sort().values.tolist() == list(range(config.num_features))
    slices = [range(cut.features.start, cut.features.stop) for cut in regions(config)]
    assert [feature for part in slices for feature in part] == list(range(config.num_features))
    sizes = [cut.num_positions * config.output_channels for cut in regions(config)]
    assert list(map(len, slices)) == sizes


@settings(max_examples=30)
@given(configs(), st.integers(0, 5))
def test_folded_conve_features_projections_and_scores_are_those_of_the_module(config, seed):
    sizes = {field.name: getattr(config, field.name) for field in fields(config)}
    model = random_model(seed, **sizes)
    triples = torch.randint(3, (7, 3), generator=torch.Generator().manual_seed(seed))
    folded = fold(model)
    with torch.no_grad():
        ahead = forward(folded, index_batch(triples.numpy(), IndexArrays(folded.device)), precision=Precision.FULL)
        image = model.bn0(model.image(triples[:, 0], triples[:, 1]))
        own = torch.relu(model.bn1(model.conv1(image))).flatten(start_dim=1)
        x = model.project(triples[:, 0], triples[:, 1])
        own_scores = model.score(triples)
    found = [part.activations(folded)[1][part.key_of_row(ahead.batch)] for part in ahead.passes]
    torch.testing.assert_close(torch.cat(found, dim=1), own[:, feature_order(config)])
    torch.testing.assert_close(ahead.x[ahead.batch.pair], x)
    torch.testing.assert_close(scores(folded, ahead, model.entity_embeddings.weight[triples[:, 2]]), own_scores)
