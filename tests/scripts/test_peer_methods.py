"""Methods of other libraries: the losses that they get, what they answer, and their place in the table."""

import stat
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import oracle
import pytest
import torch
from conftest import random_model
from torch.nn.functional import binary_cross_entropy_with_logits

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "scripts"), str(ROOT / "tests" / "validation")]

from bench_peers.environments import FOLDER_VARIABLE, interpreter  # noqa: E402 - scripts/ must be on the path
from bench_peers.methods import METHODS, Question  # noqa: E402 - scripts/ must be on the path
from bench_peers.methods.ask import ask  # noqa: E402 - scripts/ must be on the path
from bench_peers.methods.question import Margins  # noqa: E402 - scripts/ must be on the path
from bench_peers.peer import installed_version  # noqa: E402 - scripts/ must be on the path
from bench_peers.process import PeerError  # noqa: E402 - scripts/ must be on the path
from evidence_tables import peers  # noqa: E402 - scripts/ must be on the path
from evidence_tables.studies import Place  # noqa: E402 - scripts/ must be on the path
from small_study import SETTINGS, study_in  # noqa: E402 - tests/validation must be on the path

from tracin_dask import OneToAll  # noqa: E402 - after scripts/
from tracin_dask.validation.methods import read_methods  # noqa: E402 - after scripts/
from tracin_dask.validation.studies.lds import SubsetPlan, lds  # noqa: E402 - after scripts/

SMOOTHING = 0.1
TEST = torch.tensor([[0, 0, 1], [3, 2, 3], [16, 3, 5]])
LIBRARIES = tuple(dict.fromkeys(name.split(" ")[0] for name in METHODS))


@pytest.fixture
def question(tmp_path) -> Question:
    train = torch.randint(4, (40, 3), generator=torch.Generator().manual_seed(1))
    return Question(
        checkpoints=(random_model(1), random_model()),
        train=train,
        test=TEST,
        label_smoothing=SMOOTHING,
        folder=tmp_path,
    )


def test_methods_get_the_losses_of_tracin_dask(question):
    loss = OneToAll(label_smoothing=SMOOTHING)
    scores = question.model(TEST[:, 0], TEST[:, 1])
    own = torch.stack([oracle.bce(question.model, triple) for triple in TEST])
    torch.testing.assert_close(question.losses("bce")(TEST), own)
    torch.testing.assert_close(question.losses("one-to-all")(TEST), loss.value(scores, TEST[:, 2]))
    others = [torch.cat([row[:tail], row[tail + 1 :]]) for row, tail in zip(scores, TEST[:, 2], strict=True)]
    expected = torch.stack([row[tail] for row, tail in zip(scores, TEST[:, 2], strict=True)])
    expected = expected - torch.stack([row.logsumexp(0) for row in others])
    torch.testing.assert_close(Margins(question.model)(TEST), expected)


@pytest.mark.parametrize("loss", ["bce", "one-to-all"])
def test_labels_for_a_fisher_matrix_are_drawn_from_the_model(question, loss):
    torch.manual_seed(0)
    drawn = question.losses(loss).drawn(TEST[:1].expand(20_000, 3)).mean()
    scores = question.model.score(TEST[:1]) if loss == "bce" else question.model(TEST[:1, 0], TEST[:1, 1])
    expected = binary_cross_entropy_with_logits(scores, scores.sigmoid())
    torch.testing.assert_close(drawn, expected, rtol=0.02, atol=0)


def test_every_method_has_a_name_that_starts_with_its_library():
    assert all(method.requirement.startswith(f"{name.split(' ')[0]}>=") for name, method in METHODS.items())
    assert LIBRARIES == ("captum", "kronfluence", "dattri", "bergson")


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_methods_of_an_installed_library_answer_and_products_are_the_oracles(library, tmp_path):
    """A library is found in its environment; the plain methods among its are those of tests/oracle.py."""
    names = [name for name in METHODS if name.startswith(library)]
    requirement = METHODS[names[0]].requirement
    if installed_version(requirement) is None and interpreter(requirement) == Path(sys.executable):
        pytest.skip(f"{library} has no environment: python -P -m bench_peers.environments")
    model = random_model(output_channels=1).float()  # few features, so that no covariance of them is singular
    generator = torch.Generator().manual_seed(1)
    train = torch.stack([torch.randint(size, (200,), generator=generator) for size in (17, 4, 17)], dim=1)
    paths = ask(
        names, [model], train=train.numpy(), test=TEST.numpy(), label_smoothing=SMOOTHING, into=tmp_path / "scores"
    )
    found = {label.split(" ", 2)[2]: np.load(path) for label, path in paths.items()}
    assert len(found) == len(names)
    assert all(scores.shape == (3, 200) and np.isfinite(scores).all() and scores.std() for scores in found.values())
    products = oracle.products(model, train, TEST)
    plain = {
        "TracInCP": list(products),
        "TracInCPFast (fc.weight)": ["fc.weight"],
        "identity (conv1, fc)": ["conv1.weight", "conv1.bias", "fc.weight", "fc.bias"],
    }
    for name, tensors in plain.items():
        if name in found:
            expected = sum(products[tensor] for tensor in tensors).detach().numpy().T
            np.testing.assert_allclose(found[name], expected, rtol=1e-3, atol=1e-5)


def answering(folder: Path, library: str, body: str) -> None:
    """Put a program where a library's environment has its interpreter; it gets the folder of the request."""
    python = folder / library / "bin" / "python"
    python.parent.mkdir(parents=True)
    program = folder / f"{library}.py"
    program.write_text(body)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {program} "$4"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)


RANDOM_NUMBERS = """
import json, pathlib, sys
import numpy as np
folder = pathlib.Path(sys.argv[1])
request = json.loads((folder / "request.json").read_text())
paths = {}
for name in request["methods"]:
    label = name.replace("captum", "captum 9.9")
    path = pathlib.Path(request["into"], label + ".npy")
    np.save(path, np.random.default_rng(0).normal(size=(5, 178)))
    paths[label] = str(path)
print(json.dumps(paths))
"""


def test_their_scores_stand_beside_ours_in_the_table(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "environments"))
    answering(tmp_path / "environments", "captum", RANDOM_NUMBERS)
    ours = tmp_path / "ours.yaml"
    ours.write_text("plain TracIn: {preset: tracin}\n")
    monkeypatch.setattr(peers, "OURS", ours)
    given = []

    def validate(_study, _graph, options, folder, seed, *, methods):
        given.append(options)
        study = study_in(folder, *read_methods(methods), seed=seed, settings=replace(SETTINGS, num_epochs=1))
        lds(study, SubsetPlan(num_subsets=3, num_tests=5, repeats=1)).write(folder)

    monkeypatch.setattr(peers, "validate", validate)
    table = peers.peers_table(Place(data=tmp_path, output=tmp_path / "out"), (3,), ["captum TracInCP, "])
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == [
        "| plain TracIn",
        "| captum 9.9 TracInCP, one-to-all",
        "| captum 9.9 TracInCP, 4 checkpoints",
        "| filtered MRR of the explained models",
    ]
    assert len(given) == 2
    assert all("--num-subsets 24 --models-per-subset 3" in options for options in given)


def test_a_library_that_is_not_installed_is_an_error_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    answering(tmp_path, "captum", "import sys; sys.exit('captum>=0.9 is not installed here')")
    ids = TEST.numpy()
    settings = {"train": ids, "test": ids, "label_smoothing": SMOOTHING, "into": tmp_path / "scores"}
    with pytest.raises(PeerError, match=r"captum TracInCP: ended with code 1(?s:.*)is not installed here"):
        ask(["captum TracInCP"], [random_model()], **settings)
    with pytest.raises(PeerError, match="no method 'captum TracIn'; there are: captum TracInCPFast"):
        ask(["captum TracIn"], [random_model()], **settings)
