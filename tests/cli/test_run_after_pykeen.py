"""The files of the PyKEEN callback are explained with the influences of autograd."""

import json

import oracle
import pytest
import torch
from pykeen.datasets import Nations
from pykeen.models import ConvE, TuckER
from pykeen.training import LCWATrainingLoop

from tracin_dask import TracInCheckpointTrainingCallback

# PyKEEN asks for pinned memory on machines without a GPU, too
pytestmark = pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning")


@pytest.fixture(scope="module")
def nations():
    return Nations(create_inverse_triples=True).training


MODELS = {
    "ConvE": (ConvE, {"embedding_dim": 12, "embedding_height": 2, "embedding_width": 6, "output_channels": 3}),
    "TuckER": (TuckER, {"embedding_dim": 6, "relation_dim": 4}),
}


@pytest.fixture
def trained(request, nations, tmp_path):
    """PyKEEN's model after two epochs; `tmp_path / "nations"` holds what the callback wrote."""
    kind, settings = MODELS[request.param]
    model = kind(triples_factory=nations, random_seed=0, **settings)
    loop = LCWATrainingLoop(model=model, triples_factory=nations, optimizer="adam", optimizer_kwargs={"lr": 0.02})
    callback = TracInCheckpointTrainingCallback(tmp_path / "nations", nations, frequency=2)
    loop.train(nations, num_epochs=2, batch_size=64, use_tqdm=False, callbacks=callback)
    return model.eval(), loop.optimizer


def gradient(model, triple):
    """Return one triple's gradient of its binary cross-entropy (label 1), from PyKEEN's own forward pass."""
    score = model.score_hrt(torch.tensor([triple]))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(score, torch.ones_like(score))
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))])


@pytest.mark.parametrize(
    ("trained", "preconditioner"), [("ConvE", "none"), ("ConvE", "adam"), ("TuckER", "adam")], indirect=["trained"]
)
def test_run_explains_a_pykeen_checkpoint_by_labels(trained, tool, tmp_path, preconditioner):
    model, optimizer = trained
    folder, output = tmp_path / "nations", tmp_path / "why.json"
    files = ["--model-path", folder / "checkpoints" / "checkpoint_epoch_2.pt", "--train", folder / "train.txt"]
    maps = ["--entity-to-id", folder / "entity_to_id.tsv", "--relation-to-id", folder / "relation_to_id.tsv"]
    words = ["--test-triple", "uk", "embassy", "usa", "--output", output, "--cache-dir", tmp_path / "cache"]
    words += ["--preconditioner", preconditioner, "--threads-per-worker", 1]
    words += ["--parameters", "*"] if isinstance(model, ConvE) else []
    done = tool("run", *files, *maps, *words)
    assert done.exit_code == 0, done.output
    says_cancelled = "batch norm cancels their gradients" in done.output
    assert says_cancelled == (isinstance(model, ConvE) and preconditioner == "adam")
    contents = json.loads(output.read_text())
    assert contents["learning_rate"] == 0.02
    lines = [[int(number) for number in line.split("\t")] for line in (folder / "train.txt").read_text().splitlines()]
    test = contents["test_triple"]
    explained = gradient(model, [test["head"], test["relation"], test["tail"]])
    if preconditioner == "adam":
        explained *= torch.cat([scale.flatten() for scale in oracle.adam_scales(model, optimizer).values()])
    assert len(contents["influences"]) == 10
    for entry in contents["influences"]:
        triple = [entry["train_head"], entry["train_relation"], entry["train_tail"]]
        assert lines[entry["train_index"]] == triple
        expected = 0.02 * float(gradient(model, triple) @ explained)
        assert entry["influence"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("trained", ["ConvE"], indirect=True)
def test_run_explains_a_pickled_model_with_the_folder_of_its_training_triples(trained, nations, tool, tmp_path):
    model, _ = trained
    torch.save(model, tmp_path / "trained_model.pkl")
    nations.to_path_binary(tmp_path / "training_triples")
    words = ["--test-triple", "uk", "embassy", "usa", "--learning-rate", 0.02, "--cache-dir", tmp_path / "cache"]
    sources = {
        "whole": [
            "--model-path",
            tmp_path / "trained_model.pkl",
            "--trust-pickle",
            "--train",
            tmp_path / "training_triples",
        ],
        "callback": [
            "--model-path",
            tmp_path / "nations" / "checkpoints" / "checkpoint_epoch_2.pt",
            "--train",
            tmp_path / "nations" / "train.txt",
            "--entity-to-id",
            tmp_path / "nations" / "entity_to_id.tsv",
            "--relation-to-id",
            tmp_path / "nations" / "relation_to_id.tsv",
        ],
    }
    found = {}
    for name, source in sources.items():
        done = tool("run", *source, *words, "--threads-per-worker", 1, "--output", tmp_path / f"{name}.json")
        assert done.exit_code == 0, done.output
        found[name] = json.loads((tmp_path / f"{name}.json").read_text())["influences"]
    assert found["whole"] == found["callback"]
