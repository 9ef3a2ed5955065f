"""Starts a cluster, lets every worker answer once, and stops it: a process of its own, which prints its seconds."""

import json
import sys
import time

from tracin_dask.clusters.open import LocalSizes, open_cluster
from tracin_dask.clusters.spec import SlurmSpec, parse_spec
from tracin_dask.resources import MEMORY_SHARE, cpu_count, memory_limit
from tracin_dask.runs import TASKS


def main() -> None:
    """Take the specification from the command line."""
    spec = parse_spec(sys.argv[1])
    sizes = LocalSizes(num_workers=cpu_count(), memory_bytes=int(MEMORY_SHARE * memory_limit() / cpu_count()))
    begin = time.perf_counter()
    with open_cluster(spec, sizes, preload=[TASKS]) as client:
        if isinstance(spec, SlurmSpec):
            client.wait_for_workers(spec.num_workers, timeout=60 * spec.wait_minutes)
        num_workers = len(client.run(str))
        seconds = time.perf_counter() - begin
    print(json.dumps({"workers": num_workers, "seconds": seconds}))


if __name__ == "__main__":
    main()
