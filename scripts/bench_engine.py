"""Training triples per second of the engine and of a per-triple autograd loop, in the same run, with their memory."""

import argparse
import json
import os
import resource
import statistics
import tarfile
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import bench_loop
import numpy as np
import torch

import tracin_dask
from tracin_dask.models.checkpoint import Checkpoint, load_checkpoint
from tracin_dask.models.conve import ConvE, ConvEConfig
from tracin_dask.runs.driver import carry_out
from tracin_dask.runs.plan import make_plan
from tracin_dask.runs.prepare import prepare
from tracin_dask.runs.resources import of_this_process
from tracin_dask.triples.store import TripleStore

NUM_ENTITIES, NUM_RELATIONS, NUM_TRIPLES = 14_541, 237, 272_115


def main() -> None:
    """Measure, print a table, and write JSON if asked to."""
    options = _options()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        store, checkpoint = _store(Path(folder)), _checkpoint(Path(folder))
        figures = [_measure(store, checkpoint, num_tests, options) for num_tests in options.tests]
    report = {
        "threads": options.threads,
        "matrix_product_gflops": _matrix_product_gflops(),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "num_entities": NUM_ENTITIES,
        "embedding_dim": checkpoint.config.embedding_dim,
        "figures": figures,
    }
    _print(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--tests", type=int, nargs="+", default=[1, 16], help="numbers of test triples")
    parser.add_argument("--threads", type=int, default=2, help="threads of the one process")
    parser.add_argument("--rows", type=int, default=60_000, help="training triples that the engine scores in a run")
    parser.add_argument("--loop-rows", type=int, default=60, help="training triples that the loop scores in a run")
    parser.add_argument("--repeats", type=int, default=3, help="runs; medians are reported")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    return parser.parse_args()


def _measure(store: TripleStore, checkpoint: Checkpoint, num_tests: int, options: argparse.Namespace) -> dict:
    random = np.random.default_rng(num_tests)
    tests = store.read(0, len(store)).triples[random.choice(len(store), num_tests, replace=False)]
    prepared = prepare(store, checkpoint, tests)
    plan = make_plan(checkpoint.config, prepared.workload, prepared.config, of_this_process())
    rows = min(options.rows // plan.batch_size * plan.batch_size, len(store))
    part = replace(
        plan, num_triples=rows, task_rows=rows, resources=replace(plan.resources, threads_per_worker=options.threads)
    )
    engine, loop = [], []
    for _ in range(options.repeats):
        statistics_of_run = carry_out(prepared, part).run["statistics"]
        engine.append(rows / statistics_of_run["task_seconds"])
        sample = torch.from_numpy(store.read(0, options.loop_rows).triples)
        loop.append(bench_loop.triples_per_second(checkpoint.model, sample, torch.from_numpy(tests)))
    return {
        "num_tests": num_tests,
        "engine_triples_per_second": engine,
        "loop_triples_per_second": loop,
        "ratio": statistics.median(engine) / statistics.median(loop),
        "planned_bytes": plan.memory.total,
    }


def _store(folder: Path) -> TripleStore:
    """Ingest FB15k-237 where TRACIN_DASK_DATA has it, else a random graph of its size."""
    text = folder / "train.txt"
    data = os.environ.get("TRACIN_DASK_DATA")
    if data:
        with tarfile.open(Path(data) / "FB15k-237.tar.gz") as archive:
            member = next(name for name in archive.getnames() if name.endswith("train.txt"))
            text.write_bytes(archive.extractfile(member).read())
    else:
        random = np.random.default_rng(0)
        heads, tails = (np.minimum(random.zipf(1.3, NUM_TRIPLES), NUM_ENTITIES) - 1 for _ in range(2))
        relations = random.integers(0, NUM_RELATIONS, NUM_TRIPLES)
        np.savetxt(text, np.stack([heads, relations, tails], axis=1), fmt="%d", delimiter="\t")
    maps = {}
    for kind, count in (("entity", NUM_ENTITIES), ("relation", NUM_RELATIONS)):
        labels = _labels(text, kind, count) if data else [str(number) for number in range(count)]
        maps[kind] = folder / f"{kind}.tsv"
        maps[kind].write_text("".join(f"{label}\t{number}\n" for number, label in enumerate(labels)))
    return tracin_dask.ingest(text, folder / "graph.zarr", entity_to_id=maps["entity"], relation_to_id=maps["relation"])


def _labels(text: Path, kind: str, count: int) -> list[str]:
    """List the labels of a text file, and make up the ones that only occur in its validation and test files."""
    columns = (0, 2) if kind == "entity" else (1,)
    found = {line.split("\t")[c] for line in text.read_text().splitlines() for c in columns}
    return sorted(found) + [f"unseen {number}" for number in range(count - len(found))]


def _checkpoint(folder: Path) -> Checkpoint:
    """Write and load a random ConvE of dimension 200."""
    torch.manual_seed(0)
    config = ConvEConfig(num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS)
    model = ConvE(config)
    model.initialize()
    sizes = {"embedding_dim": 200, "embedding_height": 10, "embedding_width": 20}
    torch.save({"model_state_dict": model.state_dict(), "model_config": sizes}, folder / "model.pt")
    return load_checkpoint(folder / "model.pt")


def _matrix_product_gflops(size: int = 2048, repeats: int = 5) -> float:
    """Measure this machine's float32 matrix product, in 10⁹ floating-point operations per second (median)."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    speeds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        left @ right
        speeds.append(2 * size**3 / (time.perf_counter() - start) / 1e9)
    return statistics.median(speeds[1:])


def _print(report: dict) -> None:
    entities, peak = f"{report['num_entities']:,}", f"{report['peak_bytes'] / 2**20:,.0f}"
    print(f"dimension {report['embedding_dim']}, {entities} entities, {report['threads']} threads, one process")
    print(f"matrix product {report['matrix_product_gflops']:.0f} GFLOP/s; peak memory {peak} MiB")
    print(f"{'tests':>6} {'engine triples/s':>26} {'loop triples/s':>24} {'ratio':>7}")
    for figure in report["figures"]:
        engine, loop = (_spread(figure[f"{name}_triples_per_second"]) for name in ("engine", "loop"))
        print(f"{figure['num_tests']:>6} {engine:>26} {loop:>24} {figure['ratio']:>7.0f}")


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


if __name__ == "__main__":
    main()
