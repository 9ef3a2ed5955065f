"""ConvE against a second implementation in plain NumPy that shares nothing with it but the formula."""

import numpy as np
import pytest
import torch

from tracin_dask.errors import ConfigError
from tracin_dask.models.conve.model import ConvEConfig, image_size


def naive_scores(state, config, head, relation):
    """Scores of all tails of one (head, relation), by loops over channels, positions and kernel entries."""
    weights = {name: tensor.numpy() for name, tensor in state.items()}

    def batch_norm(values, name, index):
        mean, var = weights[f"{name}.running_mean"][index], weights[f"{name}.running_var"][index]
        scaled = (values - mean) / np.sqrt(var + 1e-5)
        return scaled * weights[f"{name}.weight"][index] + weights[f"{name}.bias"][index]

    rows, columns = config.embedding_height, config.embedding_width
    images = [
        [[weights[table][row][i * columns + j] for j in range(columns)] for i in range(rows)]
        for table, row in (("entity_embeddings.weight", head), ("relation_embeddings.weight", relation))
    ]
    if config.stacking == "width":
        image = [left + right for left, right in zip(*images, strict=True)]
    else:
        image = images[0] + images[1]
    image = [[batch_norm(value, "bn0", 0) for value in line] for line in image]
    kernel_height, kernel_width = config.kernel_height, config.kernel_width
    features = []
    for channel in range(config.output_channels):
        for top in range(len(image) - kernel_height + 1):
            for left in range(len(image[0]) - kernel_width + 1):
                total = weights["conv1.bias"][channel]
                for i in range(kernel_height):
                    for j in range(kernel_width):
                        total += weights["conv1.weight"][channel, 0, i, j] * image[top + i][left + j]
                features.append(max(0.0, batch_norm(total, "bn1", channel)))
    x = []
    for dim in range(config.embedding_dim):
        total = sum(w * f for w, f in zip(weights["fc.weight"][dim], features, strict=True))
        x.append(max(0.0, batch_norm(total + weights["fc.bias"][dim], "bn2", dim)))
    bias = weights.get("entity_bias", np.zeros(config.num_entities))
    return [
        sum(a * b for a, b in zip(x, weights["entity_embeddings.weight"][tail], strict=True)) + bias[tail]
        for tail in range(config.num_entities)
    ]


@pytest.mark.parametrize("kernel", [(2, 3), (3, 3), (3, 5)])
@pytest.mark.parametrize("stacking", ["width", "height"])
def test_scores_equal_a_naive_loop(make_model, stacking, kernel):
    config = ConvEConfig(
        num_entities=5,
        num_relations=2,
        embedding_dim=24,
        embedding_height=4,
        embedding_width=6,
        output_channels=3,
        kernel_height=kernel[0],
        kernel_width=kernel[1],
        stacking=stacking,
        has_entity_bias=stacking == "height",
    )
    model = make_model(config, torch.float64)
    heads, relations = torch.tensor([0, 3, 4]), torch.tensor([1, 0, 1])
    expected = [
        naive_scores(model.state_dict(), config, head, relation)
        for head, relation in zip(heads.tolist(), relations.tolist(), strict=True)
    ]
    assert np.abs(expected).max() > 0.1
    with torch.no_grad():
        np.testing.assert_allclose(model(heads, relations), expected, rtol=1e-12, atol=1e-12)


def test_scoring_one_triple_picks_its_entry_of_all_scores(model):
    triples = torch.tensor([[0, 1, 2], [6, 0, 0], [3, 2, 3]])
    with torch.no_grad():
        expected = model(triples[:, 0], triples[:, 1])[torch.arange(3), triples[:, 2]]
        torch.testing.assert_close(model.score(triples), expected)


def test_a_height_and_width_that_do_not_give_the_dimension_are_refused():
    with pytest.raises(ConfigError, match=r"embedding_height 3 × embedding_width 5 = 15 is not embedding_dim 12"):
        ConvEConfig(num_entities=2, num_relations=1, embedding_dim=12, embedding_height=3, embedding_width=5)


def test_a_kernel_larger_than_the_image_is_refused():
    with pytest.raises(ConfigError, match=r"kernel 3×3 is larger than the stacked image 2×12"):
        ConvEConfig(num_entities=2, num_relations=1, embedding_dim=12, embedding_height=2, embedding_width=6)


@pytest.mark.parametrize(
    ("dim", "height", "width", "expected"),
    [
        (200, None, None, (10, 20)),
        (32, None, None, (4, 8)),
        (36, None, None, (6, 6)),
        (13, None, None, (1, 13)),
        (32, 8, None, (8, 4)),
        (32, None, 16, (2, 16)),
        (32, 8, 8, (8, 8)),  # the sizes of the model refuse this
    ],
)
def test_an_image_size_that_is_not_stated_follows_from_the_dimension(dim, height, width, expected):
    assert image_size(dim, height=height, width=width) == expected


@pytest.mark.parametrize(("side", "word"), [("height", "rows"), ("width", "columns")])
def test_an_image_side_that_does_not_divide_the_dimension_is_refused(side, word):
    with pytest.raises(ConfigError, match=f"an image of 5 {word} cannot hold embedding_dim 32 numbers"):
        image_size(32, **{side: 5})
