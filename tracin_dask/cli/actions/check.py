"""Carries out `tracin-dask cluster check`: starts a cluster and lets every worker score a small known graph."""

from tracin_dask.cli.say import say
from tracin_dask.clusters.cluster import Start
from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.errors import ClusterError
from tracin_dask.resources import WorkerOptions, this_machine
from tracin_dask.runs.check import CheckedWorker, check_workers

CHECK = "tracin_dask.runs.check"
"""The module that workers import for a check."""
GIB = 2**30


def check_cluster(text: str) -> None:
    """Check all workers of a cluster, and print a line for each.

    Raises
    ------
    ClusterError
        If it cannot be started or reached, or a worker finds wrong influences.
    """
    cluster = parse_cluster(text)
    expected = cluster.expected_resources(WorkerOptions(), this_machine())
    start = Start(resources=expected[0] if expected else None, preload=(CHECK,), all_workers=True)
    checked = []
    with cluster.open(start) as opened:
        for worker in check_workers(opened.client):
            say(_line(worker))
            checked.append(worker)
    wrong = [worker for worker in checked if not worker.found.is_right]
    if wrong:
        raise ClusterError(
            f"{len(wrong)} of {len(checked)} worker(s) found other influences than the known ones; "
            "compare their PyTorch version, driver and device with those of the others"
        )
    say(f"{len(checked)} worker(s) found the known influences")


def _line(worker: CheckedWorker) -> str:
    found = worker.found
    memory = "no memory limit" if worker.memory_bytes is None else f"{worker.memory_bytes / GIB:.1f} GiB"
    device_memory = "" if found.device_bytes is None else f" of {found.device_bytes / GIB:.1f} GiB"
    return (
        f"{worker.address} on {found.host}: {found.device}{device_memory}, {found.threads} thread(s), {memory}; "
        f"products {found.product_gflops:,.0f} GFLOP/s, copies {found.copy_gigabytes_per_second:,.1f} GB/s, "
        f"network {worker.network_megabytes_per_second:,.0f} MB/s; "
        f"influences {'right' if found.is_right else 'WRONG'} (off by {found.deviation:.0e})"
    )
