"""From a specification to an open client, and to a text of what that would start."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracin_dask.clusters.spec import AddressSpec, AutoSpec, ClusterSpec, CudaSpec, LocalSpec, SlurmSpec

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSizes:
    """How many workers of which size a planner wants on this machine's CPUs."""

    num_workers: int
    memory_bytes: int
    """Of one worker."""


def open_cluster(
    spec: ClusterSpec, local: LocalSizes, *, preload: Sequence[str] = ()
) -> AbstractContextManager["Client"]:
    """Open a client on the cluster of a specification; `local` sizes are those of workers on this machine's CPUs.

    `preload` names modules that tasks need, which workers import while they start.

    Raises
    ------
    ClusterError
        If the cluster cannot be started or reached.
    """
    if isinstance(spec, AddressSpec):
        from tracin_dask.clusters.address import running_cluster  # noqa: PLC0415 - distributed is slow to import

        return running_cluster(spec)
    if isinstance(spec, CudaSpec):
        from tracin_dask.clusters.cuda import cuda_cluster  # noqa: PLC0415 - the same

        return cuda_cluster(spec, preload=preload)
    if isinstance(spec, SlurmSpec):
        from tracin_dask.clusters.slurm import slurm_cluster  # noqa: PLC0415 - the same

        return slurm_cluster(spec, preload=preload)
    from tracin_dask.clusters.local import local_cluster  # noqa: PLC0415 - the same

    settings = spec if isinstance(spec, LocalSpec) else LocalSpec()
    return local_cluster(local.num_workers, local.memory_bytes, settings, preload=preload)


def described(spec: ClusterSpec) -> str:
    """Say what a specification would start or submit."""
    if isinstance(spec, AutoSpec):
        return "small jobs: this process; else one worker per GPU of this machine, or workers on its CPUs"
    if isinstance(spec, AddressSpec):
        return f"nothing: connects to the cluster at {spec.address}"
    if isinstance(spec, CudaSpec):
        from tracin_dask.clusters.cuda import cluster_options  # noqa: PLC0415 - distributed is slow to import

        return _call("dask_cuda.LocalCUDACluster", cluster_options(spec))
    if isinstance(spec, SlurmSpec):
        from tracin_dask.clusters.slurm import job_script  # noqa: PLC0415 - the same

        return f"{spec.jobs} job(s), each with this script:\n\n{job_script(spec)}"
    workers = "as many workers as fit" if spec.workers is None else f"{spec.workers} worker(s)"
    return f"{workers} on this machine's CPUs; dashboard on {spec.dashboard_address}"


def _call(name: str, options: Mapping[str, object]) -> str:
    lines = [f"    {key}={value!r}," for key, value in sorted(options.items())]
    return "\n".join([f"{name}(", *lines, ")"])
