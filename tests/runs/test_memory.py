"""The planned bytes are honest: a real run at the size of FB15k-237 stays near them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tracin_dask.models.conve.model import ConvE, ConvEConfig
from tracin_dask.triples.ingest import ingest

MODEL = ConvEConfig(num_entities=14_541, num_relations=237)
NUM_ROWS, MANY_ROWS = 1_500, 30_000
"""Of the many, seven of eight entities are heads, and as many are tails."""
MARGIN = 1.3
MOST_CHECKPOINTS = 4
LARGE = {"groups": (128, 3), "rows": (750, 4)}
"""Test triples of the kinds of run that have more than 16, and the GiB that they may take."""
LEAST_SHARE = {"groups": ("group_by", 0.3), "rows": ("curvature", 0.3)}
"""Part of the planned memory that groups, or the matrices of rows, take at least."""

PROGRAM = """
import json
import sys
from pathlib import Path
import numpy as np
import distributed
from tracin_dask.influence.losses import SLCWA, BinaryCrossEntropy, OneToAll
from tracin_dask.models.load import load_checkpoint
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.execute.driver import Execution, carry_out
from tracin_dask.runs.plan.plan import make_plan
from tracin_dask.runs.prepare import prepare
from tracin_dask.resources import Resources
from tracin_dask.triples.store import open_store

store, kind, loss = open_store(sys.argv[1]), sys.argv[2], sys.argv[3]
num_tests, gib, models = json.loads(sys.argv[4])
models = [load_checkpoint(path) for path in models]
losses = {"bce": BinaryCrossEntropy(), "one-to-all": OneToAll(), "slcwa": SLCWA()}
config = RunConfig.of(
    gradient_checkpointing=kind == "again",
    normalize="cosine" if kind == "divided" else "none",
    group_by=("head", "tail") if kind == "groups" else (),
    curvature="rows" if kind == "rows" else "none",
    loss=losses[loss],
)
prepared = prepare(store, models, store.read(0, num_tests).triples, config=config)
memory = Resources(memory_bytes=gib << 30)
plan = make_plan(prepared.model_config, prepared.workload, config, memory)
records = Path(sys.argv[1]).parent / f"{kind} {loss} {len(models)}"
carry_out(prepared, plan, execution=Execution(record_directory=records))
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
kept = {name: one.total for name, one in plan.memory.kept.items()}
print(json.dumps([plan.memory.total, 1024 * int(status["VmHWM"].split()[0]), kept]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    sizes = {"embedding_height": MODEL.embedding_height, "embedding_width": MODEL.embedding_width}
    for seed in range(MOST_CHECKPOINTS):
        torch.manual_seed(seed)
        model = ConvE(MODEL).eval()
        model.initialize()
        torch.save({"model_state_dict": model.state_dict(), "model_config": sizes}, folder / f"{seed}.pt")
    random = np.random.default_rng(0)
    limits = (MODEL.num_entities, MODEL.num_relations, MODEL.num_entities)
    for name, count in (("entity", MODEL.num_entities), ("relation", MODEL.num_relations)):
        (folder / f"{name}_to_id.tsv").write_text("".join(f"{name}{number}\t{number}\n" for number in range(count)))
    maps = {f"{name}_to_id": folder / f"{name}_to_id.tsv" for name in ("entity", "relation")}
    for name, number in (("graph", NUM_ROWS), ("many", MANY_ROWS)):
        np.savetxt(folder / "train.txt", random.integers(limits, size=(number, 3)), fmt="%d", delimiter="\t")
        ingest(folder / "train.txt", folder / f"{name}.zarr", **maps)
    return folder


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize(
    ("kind", "loss", "number"),
    [
        ("kept", "bce", 1),
        ("again", "bce", 1),
        ("divided", "bce", 1),
        ("groups", "bce", 1),
        ("rows", "bce", 1),
        ("kept", "bce", MOST_CHECKPOINTS),
        ("kept", "one-to-all", 1),
        ("kept", "slcwa", 1),
    ],
)
def test_a_run_takes_about_the_memory_that_was_planned(folder: Path, kind, loss, number):
    models = [str(folder / f"{seed}.pt") for seed in range(number)]
    store = folder / f"{'many' if kind in LARGE else 'graph'}.zarr"
    asked = json.dumps([*LARGE.get(kind, (16, 2)), models])
    command = [sys.executable, "-c", PROGRAM, str(store), kind, loss, asked]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    planned, peak, kept = json.loads(output)
    name, share = LEAST_SHARE.get(kind, ("", 0))
    assert kept.get(name, 0) >= share * planned
    assert planned / 2 < peak <= MARGIN * planned
