"""The manifest of a cluster for the Dask operator of Kubernetes (`kubernetes.dask.org/v1`), from a specification."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import yaml

from tracin_dask.clusters import tls

if TYPE_CHECKING:
    from tracin_dask.clusters.kubernetes import Kubernetes

API = "kubernetes.dask.org/v1"
SCHEDULER_PORT, DASHBOARD_PORT = 8786, 8787
SECRET_FOLDER = "/etc/tracin-dask-tls"  # noqa: S105 - a folder
"""Where pods see the certificates; the names of files are those of secrets of the type kubernetes.io/tls."""
SECRET_FILES = {"tls_ca_file": "ca.crt", "tls_cert": "tls.crt", "tls_key": "tls.key"}
SPEC_FILE = "/tmp/cluster.yaml"  # noqa: S108 - in a container that nobody else uses
MIB = 2**20

Manifest = dict[str, Any]


def cluster_manifest(site: "Kubernetes", name: str, preload: Sequence[str] = ()) -> Manifest:
    """Give the DaskCluster: a scheduler behind a service of the cluster's own network, and its workers."""
    return {
        "apiVersion": API,
        "kind": "DaskCluster",
        "metadata": {"name": name},
        "spec": {
            "scheduler": {"spec": _pod(site, _scheduler(site), on_gpu=False), "service": _service(name)},
            "worker": {
                "replicas": site.workers,
                "spec": _pod(site, _worker(site, name, preload), on_gpu=site.gpu_resource is not None),
            },
        },
    }


def job_manifest(site: "Kubernetes", name: str, words: Sequence[str], preload: Sequence[str] = ()) -> Manifest:
    """Give the DaskJob of a whole run: a cluster, and a pod with `tracin-dask run` that reaches it from within."""
    cluster = cluster_manifest(site, name, preload)
    run = shlex.join(["python", "-m", "tracin_dask", "run", *words, "--cluster", SPEC_FILE])
    spec = yaml.safe_dump(_running(site, name), sort_keys=False)
    script = f"cat > {SPEC_FILE} <<'END'\n{spec}END\nexec {run}"
    resources = _resources(site.scheduler_cpus, site.scheduler_memory, None)
    container = _container(site, ["-c", script], {}, resources) | {"name": "run", "command": ["sh"]}
    pod = _pod(site, container, on_gpu=False) | {"restartPolicy": "OnFailure"}  # a run that was cut off continues
    return {
        "apiVersion": API,
        "kind": "DaskJob",
        "metadata": {"name": name},
        "spec": {"job": {"spec": pod}, "cluster": {"spec": cluster["spec"]}},
    }


def _running(site: "Kubernetes", name: str) -> Manifest:
    """Describe the running cluster of a job, as a specification file does."""
    files = {setting: f"{SECRET_FOLDER}/{file}" for setting, file in SECRET_FILES.items()} if site.tls_secret else {}
    return {
        "kind": "address",
        "address": f"{'tls' if site.tls_secret else 'tcp'}://{name}-scheduler:{SCHEDULER_PORT}",
        "workers": 1,
        "wait_minutes": site.wait_minutes,
        "device_memory_limit": site.device_memory_limit,
    } | files


def _pod(site: "Kubernetes", container: Manifest, *, on_gpu: bool) -> Manifest:
    """Give the specification of a pod with one container."""
    claims = [claim.partition(":") for claim in site.volume_claims]
    volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim, _, _ in claims]
    mounts: list[Manifest] = [{"name": claim, "mountPath": path} for claim, _, path in claims]
    if site.tls_secret is not None:
        volumes.append({"name": "tls", "secret": {"secretName": site.tls_secret}})
        mounts.append({"name": "tls", "mountPath": SECRET_FOLDER, "readOnly": True})
    tolerations = [*site.tolerations, *([site.gpu_resource] if on_gpu and site.gpu_resource else [])]
    optional = {
        "volumes": volumes,
        "nodeSelector": dict(label.split("=", 1) for label in site.node_selector),
        "tolerations": [{"key": key, "operator": "Exists"} for key in dict.fromkeys(tolerations)],
        "imagePullSecrets": [{"name": secret} for secret in site.image_pull_secrets],
        "serviceAccountName": site.service_account,
    }
    container = container | ({"volumeMounts": mounts} if mounts else {})
    return {"containers": [container]} | {key: value for key, value in optional.items() if value}


def _container(site: "Kubernetes", args: Sequence[str], env: dict[str, str], resources: Manifest) -> Manifest:
    if site.tls_secret is not None:
        files = {setting: f"{SECRET_FOLDER}/{file}" for setting, file in SECRET_FILES.items()}
        env = env | tls.exports(tls.dask_settings_of(files))
    env = env | dict(one.split("=", 1) for one in site.env)
    sources = [{"secretRef": {"name": secret}} for secret in site.env_from_secrets]
    return {
        "image": site.image,
        "command": ["python", "-m"],
        "args": list(args),
        "env": [{"name": key, "value": value} for key, value in env.items()],
        **({"envFrom": sources} if sources else {}),
        "resources": resources,
    }


def _scheduler(site: "Kubernetes") -> Manifest:
    args = ["distributed.cli.dask_scheduler", "--port", str(SCHEDULER_PORT)]
    args += ["--dashboard-address", f":{DASHBOARD_PORT}", *(["--protocol", "tls"] if site.tls_secret else [])]
    ports = {"tcp-comm": SCHEDULER_PORT, "http-dashboard": DASHBOARD_PORT}
    health = {"httpGet": {"port": "http-dashboard", "path": "/health"}}
    return {
        "name": "scheduler",
        **_container(site, args, {}, _resources(site.scheduler_cpus, site.scheduler_memory, None)),
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports.items()],
        "readinessProbe": health | {"periodSeconds": 5, "timeoutSeconds": 10},
        "livenessProbe": health | {"initialDelaySeconds": 30, "periodSeconds": 20, "timeoutSeconds": 60},
    }


def _worker(site: "Kubernetes", name: str, preload: Sequence[str]) -> Manifest:
    """Give a worker's container; Kubernetes fills in the variables, whose values the operator sets."""
    common = ["$(DASK_SCHEDULER_ADDRESS)", "--name", "$(DASK_WORKER_NAME)", "--nthreads", "1"]
    common += ["--memory-limit", str(site.memory_per_worker), "--no-dashboard"]
    common += [word for module in preload for word in ("--preload", module)]
    args = ["distributed.cli.dask_worker", *common]
    if site.gpu_resource is not None:
        args = ["dask_cuda.cli", *common, "--device-memory-limit", site.device_memory_limit]
    env = {"DASK_SCHEDULER_ADDRESS": f"tls://{name}-scheduler:{SCHEDULER_PORT}"} if site.tls_secret else {}
    resources = _resources(site.cpus_per_worker, site.memory_per_worker, site.gpu_resource)
    return {"name": "worker", **_container(site, args, env, resources)}


def _resources(cpus: int, memory_bytes: int, gpu: str | None) -> Manifest:
    """Ask for as much as is allowed, so that nothing is taken away from a running pod; memory in whole MiB."""
    asked = {"cpu": str(cpus), "memory": f"{-(-memory_bytes // MIB)}Mi"} | ({} if gpu is None else {gpu: "1"})
    return {"requests": asked, "limits": asked}


def _service(name: str) -> Manifest:
    ports = {"tcp-comm": SCHEDULER_PORT, "http-dashboard": DASHBOARD_PORT}
    return {
        "type": "ClusterIP",
        "selector": {"dask.org/cluster-name": name, "dask.org/component": "scheduler"},
        "ports": [{"name": key, "protocol": "TCP", "port": port, "targetPort": key} for key, port in ports.items()],
    }
