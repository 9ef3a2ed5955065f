"""A client that runs again and again on one cluster, and prints the memory of all processes after each run."""

import gc
import itertools
import json
import sys
import time
from pathlib import Path

import psutil
from distributed import Client

from tracin_dask import load_checkpoint, open_store, run
from tracin_dask.triples.text import read_triples


def resident_bytes() -> int:
    """Measure the calling process, once its garbage is collected."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def main(folder: Path, scheduler_file: Path, seconds: float, least_runs: int) -> None:
    """Run until the time is over, but so often at least."""
    store = open_store(folder / "graph.zarr")
    checkpoint = load_checkpoint(folder / "model.pt")
    tests = read_triples(folder / "test.txt", store.entities, store.relations)
    end = time.monotonic() + seconds
    with Client(scheduler_file=str(scheduler_file)) as client:
        client.wait_for_workers(2)
        for number in itertools.count():
            if number >= least_runs and time.monotonic() > end:
                break
            run(store, checkpoint, tests, client=client)
            workers = sorted(client.run(resident_bytes).values())
            held = {"client": resident_bytes(), "scheduler": client.run_on_scheduler(resident_bytes)}
            print(json.dumps(held | {f"worker {one}": size for one, size in enumerate(workers)}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
