"""Carries out `tracin-dask submit`: writes a job, submits it, and says how to follow it."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import yaml

from tracin_dask.cli.say import say
from tracin_dask.clusters.allocation import batch_script, read_site, submit
from tracin_dask.clusters.kubectl import Kubectl
from tracin_dask.clusters.kubernetes import Kubernetes
from tracin_dask.clusters.kubernetes_manifest import job_manifest
from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.runs import TASKS


def submit_run(spec: Path, words: Sequence[str], *, dry_run: bool) -> None:
    """Submit a run with these words of `tracin-dask run`, or print its job.

    Raises
    ------
    TracInDaskError
        If the file is not a specification of Slurm or Kubernetes, or these refuse the job.
    """
    site = parse_cluster(str(spec))
    if isinstance(site, Kubernetes):  # the other kind of cluster that takes whole runs
        _submit_to_kubernetes(site, words, dry_run=dry_run)
    else:
        _submit_to_slurm(spec, words, dry_run=dry_run)


def _submit_to_kubernetes(site: Kubernetes, words: Sequence[str], *, dry_run: bool) -> None:
    name = f"{site.name}-{secrets.token_hex(3)}"
    manifest = job_manifest(site, name, words, [TASKS])
    if dry_run:
        click.echo(yaml.safe_dump(manifest, sort_keys=False), nl=False)  # as it is: a file for kubectl
        return
    Kubectl(context=site.context, namespace=site.namespace).create(manifest)
    say(
        f"created the job {name}: {site.workers} worker(s)\n"
        f"  state   kubectl get pods -l dask.org/cluster-name={name}\n"
        f"  output  kubectl logs -f {name}-runner\n"
        f"  stop    kubectl delete daskjob {name}\n"
        "If it is cut off, the same command continues it."
    )


def _submit_to_slurm(spec: Path, words: Sequence[str], *, dry_run: bool) -> None:
    site = read_site(spec)
    script = batch_script(site, spec.absolute(), words)
    if dry_run:
        click.echo(script, nl=False)  # as it is: a file for sbatch
        return
    logs = Path(site.logs)
    logs.mkdir(parents=True, exist_ok=True)
    path = logs / f"run-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.sh"
    path.write_text(script, encoding="utf-8")
    job = submit(path)
    say(
        f"submitted job {job}: {site.jobs} node(s) for at most {site.walltime}; its script is {path}\n"
        f"  state   squeue --jobs {job}\n"
        f"  output  tail -F {logs}/run-{job}.log    (with the address of the dashboard and how to reach it)\n"
        f"  stop    scancel {job}\n"
        "If it is cut off, the same command continues it."
    )
