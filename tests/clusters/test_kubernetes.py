"""Kubernetes: manifests against the operator's own schemas, taken strictly, and clusters that a double of it runs."""

import copy
import functools
import importlib.util
import json
import os
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from distributed.security import Security
from needs import need_packages

from tracin_dask.clusters.cluster import Start
from tracin_dask.clusters.kubernetes import Kubernetes
from tracin_dask.clusters.kubernetes_manifest import cluster_manifest, job_manifest
from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.errors import ClusterError, ConfigError
from tracin_dask.resources import Machine, Resources, WorkerOptions

GIB = 2**30
SITE = Kubernetes(image="registry.example/mine:1", workers=2, memory_per_worker=GIB, cpus_per_worker=2)
FULL = replace(
    SITE,
    gpu_resource="nvidia.com/mig-1g.10gb",
    env=("OMP_NUM_THREADS=4", "A=b=c"),
    env_from_secrets=("object-store",),
    volume_claims=("graphs:/data",),
    node_selector=("zone=a",),
    tolerations=("dedicated",),
    image_pull_secrets=("registry",),
    service_account="dask",
    tls_secret="tracin-dask-tls",  # noqa: S106 - its name
)
MANIFESTS = {
    "cluster": cluster_manifest(SITE, "mine"),
    "cluster with everything": cluster_manifest(FULL, "mine", ["a", "b"]),
    "job": job_manifest(SITE, "mine", ["--top-k", "5"]),
    "job with everything": job_manifest(FULL, "mine", ["--top-k", "5"], ["a"]),
}
PACKAGES = ("dask_kubernetes", "jsonschema")


def strict(node):
    """Forbid unknown fields, which Kubernetes drops without a word."""
    if isinstance(node, list):
        return [strict(one) for one in node]
    if not isinstance(node, dict):
        return node
    found = {key: strict(value) for key, value in node.items()}
    if found.get("type") == "object" and "properties" in found:
        found.setdefault("additionalProperties", False)
    if found.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    return found


@functools.cache
def schema_of(kind):
    """Give the group and version of a kind of the operator, and its schema."""
    package = Path(importlib.util.find_spec("dask_kubernetes").origin).parent
    definitions = package / "operator" / "deployment" / "helm" / "dask-kubernetes-operator" / "crds"
    definition = yaml.safe_load((definitions / f"{kind.lower()}.yaml").read_text())
    (version,) = definition["spec"]["versions"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
    return f"{definition['spec']['group']}/{version['name']}", schema


def check(manifest):
    """Check a manifest against the schema of its kind."""
    need_packages(*PACKAGES)
    import jsonschema  # noqa: PLC0415 - may be missing

    version, schema = schema_of(manifest["kind"])
    assert manifest["apiVersion"] == version
    jsonschema.Draft202012Validator(schema).validate(manifest)


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_fit_the_schemas_of_the_operator(name):
    check(MANIFESTS[name])


@pytest.mark.parametrize("wrong", [{"resorces": {}}, {"image": 3}, {"ports": [{"containerPort": "8786"}]}])
def test_a_wrong_field_of_a_manifest_is_noticed(wrong):
    need_packages(*PACKAGES)
    from jsonschema import ValidationError  # noqa: PLC0415 - may be missing

    manifest = copy.deepcopy(MANIFESTS["cluster"])
    manifest["spec"]["worker"]["spec"]["containers"][0] |= wrong
    with pytest.raises(ValidationError):
        check(manifest)


def container_of(manifest, part):
    return manifest["spec"][part]["spec"]["containers"][0]


def test_plain_workers_have_their_size_as_request_and_limit():
    worker = container_of(MANIFESTS["cluster"], "worker")
    sizes = {"cpu": "2", "memory": "1024Mi"}
    assert worker["resources"] == {"requests": sizes, "limits": sizes}
    assert worker["args"][:3] == ["distributed.cli.dask_worker", "$(DASK_SCHEDULER_ADDRESS)", "--name"]
    assert worker["args"][worker["args"].index("--memory-limit") + 1] == str(GIB)
    assert MANIFESTS["cluster"]["spec"]["worker"]["replicas"] == 2
    assert MANIFESTS["cluster"]["spec"]["scheduler"]["service"]["type"] == "ClusterIP"


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "nvidia.com/mig-1g.10gb"])
def test_a_worker_has_one_gpu_or_slice_by_its_resource_name_and_the_scheduler_none(resource):
    manifest = cluster_manifest(replace(SITE, gpu_resource=resource), "mine")
    worker = container_of(manifest, "worker")
    assert worker["args"][0] == "dask_cuda.cli"
    assert worker["resources"]["limits"][resource] == "1"
    assert manifest["spec"]["worker"]["spec"]["tolerations"] == [{"key": resource, "operator": "Exists"}]
    assert resource not in container_of(manifest, "scheduler")["resources"]["limits"]


def test_pods_have_volumes_secrets_and_places():
    pod = MANIFESTS["cluster with everything"]["spec"]["worker"]["spec"]
    (container,) = pod["containers"]
    assert {"name": "graphs", "mountPath": "/data"} in container["volumeMounts"]
    assert {"name": "graphs", "persistentVolumeClaim": {"claimName": "graphs"}} in pod["volumes"]
    assert container["envFrom"] == [{"secretRef": {"name": "object-store"}}]
    assert {"name": "A", "value": "b=c"} in container["env"]
    assert (pod["nodeSelector"], pod["serviceAccountName"]) == ({"zone": "a"}, "dask")


def test_pods_with_a_secret_of_certificates_encrypt():
    manifest = MANIFESTS["cluster with everything"]
    assert "--protocol tls" in " ".join(container_of(manifest, "scheduler")["args"])
    env = {one["name"]: one["value"] for one in container_of(manifest, "worker")["env"]}
    assert env["DASK_SCHEDULER_ADDRESS"] == "tls://mine-scheduler:8786"
    assert env["DASK_DISTRIBUTED__COMM__TLS__WORKER__KEY"] == "/etc/tracin-dask-tls/tls.key"


def test_the_pod_of_a_job_writes_the_specification_of_its_cluster_and_runs():
    (container,) = MANIFESTS["job with everything"]["spec"]["job"]["spec"]["containers"]
    script = container["args"][1]
    assert script.endswith("exec python -m tracin_dask run --top-k 5 --cluster /tmp/cluster.yaml")
    spec = yaml.safe_load(script.split("<<'END'\n")[1].split("END\n")[0])
    assert (spec["kind"], spec["address"]) == ("address", "tls://mine-scheduler:8786")
    assert spec["tls_ca_file"] == "/etc/tracin-dask-tls/ca.crt"


def test_the_example_job_is_the_one_of_the_example_cluster():
    folder = Path(__file__).parents[2] / "cluster"
    words = ["--model-path", "/data/model.pt", "--train", "/data/graph.zarr", "--test", "/data/test.txt"]
    site = replace(parse_cluster(str(folder / "kubernetes.yaml")), volume_claims=("graphs:/data",))
    expected = job_manifest(site, "why", [*words, "--output-dir", "/data/why"])
    assert yaml.safe_load((folder / "kubernetes" / "job.yaml").read_text()) == expected
    check(expected)


def test_a_shown_cluster_is_its_manifest():
    shown = SITE.describe()
    assert yaml.safe_load(shown.partition("\n\n")[2]) == cluster_manifest(SITE, "tracin-dask")


def test_expected_workers_are_those_of_the_pods():
    machine = Machine(num_cpus=1, memory_bytes=GIB)
    expected = Resources(num_workers=2, threads_per_worker=2, memory_bytes=GIB)
    assert SITE.expected_resources(WorkerOptions(), machine) == [expected]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"env": ("A",)}, "env: expected NAME=VALUE, not 'A'"),
        ({"volume_claims": ("graphs",)}, "volume_claims: expected CLAIM:/PATH, not 'graphs'"),
        ({"node_selector": ("=a",)}, "node_selector: expected LABEL=VALUE, not '=a'"),
        ({"tls_ca_file": "a", "tls_cert": "b", "tls_key": "c"}, "tls_secret is missing, the same for the pods"),
    ],
)
def test_settings_that_a_manifest_cannot_hold_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        replace(SITE, **settings)


@pytest.fixture
def kubernetes(tmp_path, monkeypatch):
    """The folder of a double of Kubernetes, whose `kubectl` is on the path."""
    (tmp_path / "kubectl").symlink_to(Path(__file__).parents[1] / "doubles" / "kubectl")
    monkeypatch.setenv("KUBERNETES", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def test_a_cluster_is_created_reached_by_a_forwarded_port_and_deleted(kubernetes):
    site = replace(SITE, context="mine", namespace="ours", env=("FROM_SPEC=yes",))
    with site.open(Start(all_workers=True)) as opened:
        assert opened.resources == Resources(num_workers=2, threads_per_worker=2, memory_bytes=GIB)
        assert set(opened.client.run(os.getenv, "FROM_SPEC").values()) == {"yes"}
        assert opened.client.submit(sum, [1, 2, 3]).result() == 6
        with urllib.request.urlopen(opened.client.dashboard_link, timeout=30) as page:  # noqa: S310 - of this machine
            assert page.status == 200
    (manifest,) = kubernetes.glob("*.manifest")
    assert manifest.stem.startswith("tracin-dask-")
    assert (kubernetes / f"{manifest.stem}.deleted").exists()
    assert (kubernetes / "context").read_text() == "mine"
    assert (kubernetes / "namespace").read_text() == "ours"
    check(json.loads(manifest.read_text()))


def test_a_cluster_whose_pods_do_not_start_is_reported_and_deleted(kubernetes, monkeypatch):
    monkeypatch.setattr("tracin_dask.clusters.attached.MINUTE", 1)
    (kubernetes / "no-nodes").touch()
    with (
        pytest.raises(ClusterError, match=r"no scheduler after 1 minute\(s\); pods: mine-scheduler-0 0/1 Pending"),
        replace(SITE, wait_minutes=1).open(Start()),
    ):
        pass
    assert len(list(kubernetes.glob("*.deleted"))) == 1


def test_a_cluster_without_the_operator_is_refused_with_the_remedy(kubernetes):
    (kubernetes / "no-operator").touch()
    with (
        pytest.raises(ClusterError, match="the Dask operator is not installed there: `helm install"),
        SITE.open(Start()),
    ):
        pass


def test_a_machine_without_kubectl_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"kubectl cannot be called .*; install it"), SITE.open(Start()):
        pass


def test_certificates_of_the_pods_alone_are_refused():
    with (
        pytest.raises(ConfigError, match="tls_secret is stated for the pods; state tls_ca_file, tls_cert and tls_key"),
        FULL.open(Start()),
    ):
        pass


@pytest.mark.usefixtures("kubernetes")
def test_a_cluster_with_certificates_is_encrypted(tmp_path, monkeypatch):
    made = Security.temporary()
    files = {"ca.crt": made.tls_ca_file, "tls.crt": made.tls_worker_cert, "tls.key": made.tls_worker_key}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr("tracin_dask.clusters.kubernetes_manifest.SECRET_FOLDER", str(tmp_path))
    settings = {"tls_ca_file": "ca.crt", "tls_cert": "tls.crt", "tls_key": "tls.key"}
    paths = {key: str(tmp_path / name) for key, name in settings.items()}
    site = replace(FULL, gpu_resource=None, volume_claims=(), workers=1, **paths)
    with site.open(Start(all_workers=True)) as opened:
        addresses = [opened.client.scheduler.address, *opened.client.scheduler_info()["workers"]]
        assert all(address.startswith("tls://") for address in addresses)
