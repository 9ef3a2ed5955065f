"""A small project of a user (text files, id maps, names, a checkpoint), and `tracin-dask` called in this process."""

import copy
import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pytest
import torch
from conftest import random_model

from tracin_dask.cli.main import group
from tracin_dask.models.conve.model import ConvE
from tracin_dask.runs.execute import in_process

NUM_ENTITIES, NUM_RELATIONS, NUM_ROWS = 40, 4, 600
LEARNING_RATE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The files of one user, and their contents."""

    folder: Path
    lines: np.ndarray
    """The ids [row, 3] of train.txt, line by line."""
    model: ConvE

    @property
    def test_ids(self) -> list[str]:
        """A triple that is line 6 of the training file."""
        return [str(number) for number in self.lines[5]]

    @property
    def test_labels(self) -> list[str]:
        """The same triple by its labels."""
        return labels(self.lines[5])

    def maps(self) -> list[str]:
        """The options that name the id maps."""
        return ["--entity-to-id", f"{self.folder}/node_dict.txt", "--relation-to-id", f"{self.folder}/rel_dict.txt"]

    def options(self, model: Path | None = None) -> list[str]:
        """The options for all files, optionally with another model, and a cache in the same folder."""
        files = [
            "--model-path",
            f"{model or self.folder / 'model.pt'}",
            "--train",
            f"{self.folder}/train.txt",
            *self.maps(),
        ]
        return [*files, "--cache-dir", f"{self.folder}/cache", "--threads-per-worker", "1"]


Tool = Callable[..., click.testing.Result]


def labels(triple: np.ndarray) -> list[str]:
    head, relation, tail = triple.tolist()
    return [f"CHEBI:{head * 7}", f"predicate:{(relation + 2) % NUM_RELATIONS}", f"CHEBI:{tail * 7}"]


def make_project(folder: Path, num_rows: int = NUM_ROWS) -> Project:
    random = np.random.default_rng(1)
    limits = (NUM_ENTITIES, NUM_RELATIONS, NUM_ENTITIES)
    lines = np.stack([random.integers(limit, size=num_rows) for limit in limits], axis=1)
    lines[7] = lines[5]  # a duplicate
    (folder / "train.txt").write_text("".join("\t".join(labels(line)) + "\n" for line in lines))
    entities = [labels(np.array([number, 0, 0]))[0] for number in range(NUM_ENTITIES)]
    relations = [labels(np.array([0, number, 0]))[1] for number in range(NUM_RELATIONS)]
    for name, known in (("node_dict.txt", entities), ("rel_dict.txt", relations)):
        (folder / name).write_text("".join(f"{label}\t{number}\n" for number, label in enumerate(known)))
    (folder / "node_name_dict.txt").write_text("".join(f"drug, no. {n} [α]\t{n}\n" for n in range(NUM_ENTITIES)))
    key = {"predicate": "biolink:treats", "object_aspect_qualifier": "activity"}
    (folder / "edge_map.json").write_text(json.dumps({json.dumps(key): relations[0]}))
    model = random_model(num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS).float()
    save_model(folder / "model.pt", model, learning_rate=LEARNING_RATE)
    return Project(folder=folder, lines=lines, model=model)


def save_model(path: Path, model: ConvE, **more: object) -> Path:
    names = ("num_entities", "num_relations", "embedding_dim", "embedding_height", "embedding_width", "output_channels")
    config = {name: getattr(model.config, name) for name in names}
    torch.save({"model_state_dict": model.state_dict(), "model_config": config, **more}, path)
    return path


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def write_project() -> Callable[[Path, int], Project]:
    return make_project


@pytest.fixture
def tool() -> Tool:
    """Run `tracin-dask` in this process; errors of the package are raised, so that tests can match them."""

    def invoke(*words: object) -> click.testing.Result:
        result = click.testing.CliRunner().invoke(group, [str(word) for word in words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def stop(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> Callable[..., click.testing.Result]:
    """Run a command line in this process and stop it with Ctrl-C after a number of finished tasks."""

    def command(*words: object, after: int) -> click.testing.Result:
        finished, score_rows = [], in_process.score_rows

        def interrupted(state: object, job: object, test: object, rows: object, **options: object) -> object:
            if len(finished) == after:
                raise KeyboardInterrupt
            finished.append(rows)
            return score_rows(state, job, test, rows, **options)

        with monkeypatch.context() as patch:
            patch.setattr(in_process, "score_rows", interrupted)
            result = tool(*words)
        assert result.exit_code == 128 + signal.SIGINT
        return result

    return command


@pytest.fixture
def explain(project: Project, tool: Tool, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run on the project's test triple with further options; return the JSON."""

    def run(*words, triple=project.test_ids, model=None):
        output = tmp_path / "influence.json"
        result = tool("run", *project.options(model), "--test-triple", *triple, "--output", output, *words)
        assert result.exit_code == 0, result.output
        return json.loads(output.read_text())

    return run


@pytest.fixture
def refused(tool: Tool) -> Callable[..., str]:
    """Run a command line that click refuses; return its message in one line."""

    def invoke(*words: object) -> str:
        result = tool(*words)
        assert result.exit_code == 2, result.output
        return " ".join(result.output.split())

    return invoke


@pytest.fixture(scope="session")
def adam(project: Project) -> tuple[Path, ConvE, torch.optim.Optimizer]:
    """The project's model after some steps of Adam: its file, the model and the optimiser."""
    model = copy.deepcopy(project.model).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    heads, relations, _ = torch.from_numpy(project.lines[:64]).T
    for _ in range(3):
        optimizer.zero_grad()
        model(heads, relations).sigmoid().sum().backward()
        optimizer.step()
    path = project.folder / "adam.pt"
    state = optimizer.state_dict()
    return save_model(path, model.eval(), learning_rate=LEARNING_RATE, optimizer_state_dict=state), model, optimizer
