"""Pods of a Kubernetes cluster, started by the Dask operator; this process reaches its scheduler by `kubectl`."""

import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

import dask
import yaml

from tracin_dask.clusters import attached, settings, tls
from tracin_dask.clusters.attached import DASHBOARD_LINK, attached_client, wait_for_attached
from tracin_dask.clusters.cluster import OpenCluster, Start
from tracin_dask.clusters.kubectl import Kubectl
from tracin_dask.clusters.kubernetes_manifest import DASHBOARD_PORT, SCHEDULER_PORT, cluster_manifest
from tracin_dask.clusters.settings import setting
from tracin_dask.clusters.started import close_client
from tracin_dask.errors import ClusterError, ConfigError
from tracin_dask.resources import Machine, Resources, WorkerOptions, of_client

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
RUNNING = "Running"
GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubernetes(tls.Certificates):
    """Pods of a Kubernetes cluster: a scheduler and workers, each worker with one GPU if any is asked for."""

    title: ClassVar[str] = "Kubernetes"

    image: str = setting(settings.text)
    """With tracin-dask in the version of the calling process."""
    workers: int = setting(settings.count)
    memory_per_worker: int = setting(settings.size)
    cpus_per_worker: int = setting(settings.count, 1)
    gpu_resource: str | None = setting(settings.text, None)
    """What the cluster calls a GPU or a MIG slice, of which every worker has one: nvidia.com/gpu."""
    device_memory_limit: str = setting(settings.device_memory, "0.8")
    scheduler_cpus: int = setting(settings.count, 1)
    scheduler_memory: int = setting(settings.size, 4 * GIB)
    name: str = setting(settings.text, "tracin-dask")
    """What the names of its objects begin with."""
    context: str | None = setting(settings.text, None)
    namespace: str | None = setting(settings.text, None)
    env: tuple[str, ...] = setting(settings.texts, ())
    """NAME=VALUE."""
    env_from_secrets: tuple[str, ...] = setting(settings.texts, ())
    """Secrets whose entries become variables: credentials of object stores."""
    volume_claims: tuple[str, ...] = setting(settings.texts, ())
    """CLAIM:/PATH."""
    node_selector: tuple[str, ...] = setting(settings.texts, ())
    """LABEL=VALUE."""
    tolerations: tuple[str, ...] = setting(settings.texts, ())
    """Keys of taints; that of the GPU resource is tolerated anyway."""
    image_pull_secrets: tuple[str, ...] = setting(settings.texts, ())
    service_account: str | None = setting(settings.text, None)
    wait_minutes: int = setting(settings.count, 30)
    """How long to wait for the scheduler and the first worker: images are pulled, and nodes added."""
    tls_secret: str | None = setting(settings.text, None)
    """A secret with ca.crt, tls.crt and tls.key, for the pods."""

    def __post_init__(self) -> None:
        """Refuse settings that do not go together, or that a manifest cannot hold.

        Raises
        ------
        ConfigError
            With the setting.
        """
        for name, mark in (("env", "="), ("node_selector", "="), ("volume_claims", ":/")):
            for text in getattr(self, name):
                if mark not in text[1:]:
                    form = {"env": "NAME=VALUE", "node_selector": "LABEL=VALUE", "volume_claims": "CLAIM:/PATH"}[name]
                    raise ConfigError(f"{name}: expected {form}, not {text!r}")
        tls.Certificates.__post_init__(self)  # super() does not know a class with slots
        if self.tls_cert is not None and self.tls_secret is None:
            raise ConfigError("tls_cert is stated for this process, and tls_secret is missing, the same for the pods")

    def describe(self) -> str:
        """Give the manifest."""
        manifest = yaml.safe_dump(cluster_manifest(self, self.name), sort_keys=False)
        return f"this manifest, by `kubectl create` (the name gets an ending of its own):\n\n{manifest}"

    def expected_resources(self, asked: WorkerOptions, machine: Machine) -> Sequence[Resources]:  # noqa: ARG002 - its workers are on other machines
        """Give the workers of all pods."""
        asked.refuse_number(self.title)
        resources = Resources(
            num_workers=self.workers, threads_per_worker=self.cpus_per_worker, memory_bytes=self.memory_per_worker
        )
        return [asked.applied_to(resources)]

    @contextmanager
    def open(self, start: Start) -> Iterator[OpenCluster]:
        """Create the cluster, forward a port to its scheduler, wait for workers, and delete the cluster at the end.

        Raises
        ------
        ClusterError
            If Kubernetes refuses it, the operator is missing, or scheduler or workers do not come in time: then with
            the states of the pods.
        ConfigError
            If the pods have certificates and this process has none.
        """
        with dask.config.set(tls.dask_settings(self)):
            if self.tls_secret is not None and not tls.encrypts("client"):
                raise ConfigError("tls_secret is stated for the pods; state tls_ca_file, tls_cert and tls_key, too")
            name = f"{self.name}-{secrets.token_hex(3)}"
            kubectl = Kubectl(context=self.context, namespace=self.namespace)
            kubectl.create(cluster_manifest(self, name, start.preload))
            try:
                self._wait_for_scheduler(kubectl, name)
                with kubectl.forwarded(f"{name}-scheduler", (SCHEDULER_PORT, DASHBOARD_PORT)) as (port, dashboard):
                    link = {DASHBOARD_LINK: f"http://127.0.0.1:{dashboard}/status"}
                    with dask.config.set(link):
                        yield from self._attached(kubectl, name, port, start)
            finally:
                _delete(kubectl, name)

    def _wait_for_scheduler(self, kubectl: Kubectl, name: str) -> None:
        deadline = time.monotonic() + attached.MINUTE * self.wait_minutes
        told = time.monotonic()
        while kubectl.phase(name) != RUNNING:
            now = time.monotonic()
            if now > deadline:
                raise ClusterError(f"no scheduler after {self.wait_minutes} minute(s); pods: {kubectl.pods(name)}")
            if now - told > attached.EXPLAIN_SECONDS:
                logger.warning("waiting for the scheduler; pods: %s", kubectl.pods(name))
                told = now
            time.sleep(LOOK_SECONDS)

    def _attached(self, kubectl: Kubectl, name: str, port: int, start: Start) -> Iterator[OpenCluster]:
        client = attached_client(f"{'tcp' if self.tls_secret is None else 'tls'}://127.0.0.1:{port}")
        try:
            number = self.workers if start.all_workers else 1
            wait_for_attached(client, number, self.wait_minutes, states=lambda: f"pods: {kubectl.pods(name)}")
            found = of_client(client, self.device_memory_limit)
            sizes = {"num_workers": self.workers, "threads_per_worker": self.cpus_per_worker}
            yield OpenCluster(client=client, resources=replace(found, **sizes))
        finally:
            close_client(client, start.patience.stop_seconds)


def _delete(kubectl: Kubectl, name: str) -> None:
    """Delete the cluster; if that fails, the results of the run are there."""
    try:
        kubectl.delete(name)
    except ClusterError as error:
        logger.warning("the cluster %s could not be deleted (%s); `kubectl delete daskcluster %s`", name, error, name)
