"""A prepared run of any size without its data: a tiny store that states another number of triples."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

import tracin_dask
from tracin_dask.models.conve.load import load_conve
from tracin_dask.models.conve.model import ConvE, ConvEConfig
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.prepare import PreparedRun, prepare

NUM_ENTITIES, NUM_RELATIONS = 1_000, 20
TRIPLES_PER_HEAD, TRIPLES_PER_PAIR = 60, 6
IMAGE_HEIGHT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The numbers of a simulated run."""

    num_triples: int
    num_tests: int
    top_k: int
    embedding_dim: int


def prepared_run(sizes: Sizes, folder: Path) -> PreparedRun:
    """Prepare a run that has these sizes for the planner and for the driver; only its rows do not exist."""
    random = np.random.default_rng(0)
    triples = random.integers((NUM_ENTITIES, NUM_RELATIONS, NUM_ENTITIES), size=(sizes.num_tests, 3))
    np.savetxt(folder / "train.txt", triples[:1], fmt="%d", delimiter="\t")
    maps = {f"{kind}_to_id": _id_map(folder, kind, n) for kind, n in _COUNTS.items()}
    store = tracin_dask.ingest(folder / "train.txt", folder / "graph.zarr", **maps)
    checkpoint = load_conve(_checkpoint(folder / "model.pt", sizes.embedding_dim))
    prepared = prepare(store, checkpoint, triples, config=RunConfig.of(top_k=sizes.top_k, device="cpu", audit=0))
    info = replace(
        store.info,
        num_triples=sizes.num_triples,
        num_distinct_heads=max(1, sizes.num_triples // TRIPLES_PER_HEAD),
        num_distinct_head_relations=max(1, sizes.num_triples // TRIPLES_PER_PAIR),
    )
    stated = replace(store, info=info)
    vars(stated).update(entities=store.entities, relations=store.relations)  # read before it states another number
    return replace(prepared, store=stated)


_COUNTS = {"entity": NUM_ENTITIES, "relation": NUM_RELATIONS}


def _id_map(folder: Path, kind: str, count: int) -> Path:
    path = folder / f"{kind}_to_id.tsv"
    path.write_text("".join(f"{kind} {number}\t{number}\n" for number in range(count)))
    return path


def _checkpoint(path: Path, dim: int) -> Path:
    image = {"embedding_dim": dim, "embedding_height": IMAGE_HEIGHT, "embedding_width": dim // IMAGE_HEIGHT}
    torch.manual_seed(0)
    model = ConvE(ConvEConfig(num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS, **image))
    model.initialize()
    torch.save({"model_state_dict": model.state_dict(), "model_config": image}, path)
    return path
