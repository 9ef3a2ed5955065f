"""Starts a cluster, lets every worker answer once, and stops it: a process of its own, which prints its seconds."""

import json
import sys
import time

from tracin_dask.clusters.cluster import Start
from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.resources import WorkerOptions, this_machine
from tracin_dask.runs import TASKS


def main() -> None:
    """Take the specification from the command line."""
    cluster = parse_cluster(sys.argv[1])
    expected = cluster.expected_resources(WorkerOptions(), this_machine())
    start = Start(resources=expected[0] if expected else None, preload=(TASKS,), all_workers=True)
    begin = time.perf_counter()
    with cluster.open(start) as opened:
        num_workers = len(opened.client.run(str))
        seconds = time.perf_counter() - begin
    print(json.dumps({"workers": num_workers, "seconds": seconds}))


if __name__ == "__main__":
    main()
