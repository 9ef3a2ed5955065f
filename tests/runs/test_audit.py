"""Every run is audited: a few influences once more by plain autograd, in every mode; a run that deviates fails."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import oracle
import pytest
import torch
from distributed import Client
from influence.any_model import Bilinear, TailsBilinear
from influence.dropped import drop
from small_graph import (
    BATCH_SIZE,
    LEARNING_RATE,
    NUM_ENTITIES,
    NUM_RELATIONS,
    Graph,
    MakeJob,
    bits,
    save_checkpoint,
    small_model,
)
from test_preconditioner_pass import ByMeanSquare

from tracin_dask.errors import AuditError, ConfigError, MemoryLimitError
from tracin_dask.influence.conve.terms import dense, fc_weight
from tracin_dask.influence.losses import SLCWA, OneToAll
from tracin_dask.influence.reductions import topk
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.load import load_checkpoint
from tracin_dask.runs.audit import choice, compare
from tracin_dask.runs.execute.driver import Execution

ROWS = 4


@pytest.fixture(autouse=True)
def enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is busy, too."""
    monkeypatch.setattr(choice, "LEAST_SECONDS", 60.0)


class Margin:
    """A loss of one's own, with a kink."""

    name = "margin"

    def value(self, scores):
        return torch.relu(4.0 - scores)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Checkpoint]]:
    """Two checkpoints with the state of their optimiser, by the type of their numbers."""
    folder, paths = tmp_path_factory.mktemp("audited"), []
    for seed in (41, 42):
        model = small_model(seed)
        optimizer = torch.optim.Adam(model.train().parameters(), lr=LEARNING_RATE)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.arange(32), torch.arange(32) % NUM_RELATIONS).square().mean().backward()
            optimizer.step()
        paths.append(save_checkpoint(folder / f"{seed}.pt", model.eval()))
        contents = torch.load(paths[-1], weights_only=True)
        torch.save(contents | {"optimizer_state_dict": optimizer.state_dict()}, paths[-1])
    types = {"float32": torch.float32, "float64": torch.float64}
    return {name: [load_checkpoint(path, dtype=dtype) for path in paths] for name, dtype in types.items()}


MODES = {
    "bce": {},
    "one-to-all": {"loss": OneToAll(label_smoothing=0.1)},
    "slcwa": {"loss": SLCWA(num_negatives=2)},
    "a loss of one's own": {"loss": Margin()},
    "the score": {"explain": "score"},
    "contrast": {"contrast": (5,)},
    "contrast of all scores": {"contrast": (5,), "loss": OneToAll()},
    "cosine": {"normalize": "cosine"},
    "relatif of slcwa": {"normalize": "relatif", "loss": SLCWA(num_negatives=2)},
    "adam": {"preconditioner": "adam"},
    "cosine with adam": {"preconditioner": "adam", "normalize": "cosine"},
    "adam of all scores": {"preconditioner": "adam", "loss": OneToAll()},
    "self-influence": {"mode": "self"},
    "self-influence of slcwa": {"mode": "self", "loss": SLCWA(num_negatives=2)},
    "together": {"together": True},
    "two sets with a contrast": {"together": ("one", "other", "one"), "contrast": (5,)},
    "two tensors": {"parameters": ("fc.bias", "relation_embeddings.*")},
    "opponents by relation": {"rank_by": "opponents", "group_by": ("relation",)},
}


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("mode", MODES)
def test_a_run_of_two_checkpoints_passes_its_audit_in_every_mode(make_job: MakeJob, series, mode, precision):
    options = {"learning_rate": (0.04, 0.01), "precision": precision} | MODES[mode]
    audit = make_job(model=series[precision], **options).carry_out().run["audit"]
    num_answers = {"self": 0}.get(options.get("mode"), 1 if options.get("together") is True else 2)
    assert (audit["rows"], audit["test_triples"]) == (ROWS, num_answers)
    assert 0 < audit["largest_deviation"] <= audit["limit"] == {"float32": 1e-4, "float64": 1e-9}[precision]
    assert "why_not_all" not in audit
