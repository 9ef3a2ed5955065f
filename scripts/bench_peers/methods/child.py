"""The process that computes the scores of a library's methods; `ask` starts it."""

import contextlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bench_peers.methods import METHODS, Question
from bench_peers.peer import installed_version
from tracin_dask.models.conve.model import ConvE, ConvEConfig


def main(folder: Path) -> None:
    """Answer the request of a folder, and print the paths of the scores by the methods' names with versions.

    Scores that lie there already are kept.
    """
    request = json.loads((folder / "request.json").read_text())
    tensors = torch.load(folder / "tensors.pt", weights_only=True)
    config = ConvEConfig(**request["config"])
    question = Question(
        checkpoints=tuple(_model(config, state) for state in tensors["states"]),
        train=tensors["train"],
        test=tensors["test"],
        label_smoothing=request["label_smoothing"],
        folder=folder,
    )
    torch.set_num_threads(request["threads"])
    paths = {}
    for index, name in enumerate(request["methods"]):
        requirement = METHODS[name].requirement
        version = installed_version(requirement)
        if version is None:
            sys.exit(f"{requirement} is not installed here (docs/peers.md says how)")
        library, method = name.split(" ", 1)
        label = f"{library} {version} {method}"
        path = Path(request["into"]) / f"{label}.npy"
        if not path.exists():
            own = folder / str(index)  # libraries take up what they find
            own.mkdir()
            _write(path, name, replace(question, folder=own))
        paths[label] = str(path)
    print(json.dumps(paths))


def _write(path: Path, name: str, question: Question) -> None:
    torch.manual_seed(0)
    with contextlib.redirect_stdout(sys.stderr):  # libraries may print
        found = METHODS[name].scores(question)
    unfinished = path.with_suffix(".part.npy")
    np.save(unfinished, found.detach().numpy())
    unfinished.rename(path)


def _model(config: ConvEConfig, state: dict[str, torch.Tensor]) -> ConvE:
    model = ConvE(config).to(state["fc.weight"].dtype).eval()
    model.load_state_dict(state)
    return model


if __name__ == "__main__":
    main(Path(sys.argv[1]))
