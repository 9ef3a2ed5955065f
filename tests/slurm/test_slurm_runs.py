"""Runs on a real Slurm of two nodes: plain and dask-cuda workers, a cancelled job, one job cut off by its walltime."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from doubles.build import nvml_environment
from needs import need

DOUBLES = Path(__file__).parents[1] / "doubles"
SPEC = """
kind: slurm
jobs: 2
walltime: {walltime}
memory_per_job: 2GiB
host: 127.0.0.1
logs: {logs}
"""
JOB_OF_SECONDS = ["--batch-size", "256", "--top-k", "20"]
LONG_JOB = ["--batch-size", "4", "--top-k", "20"]
"""Takes most of a minute on two slow workers: long enough to be disturbed."""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Give the environment in which a Slurm answers."""
    need("slurmctld", "slurmd", "munged", root=True)
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([DOUBLES / "slurm", "up", folder], check=True, timeout=120)
    yield os.environ | {"SLURM_CONF": str(folder / "etc" / "slurm.conf")}
    subprocess.run([DOUBLES / "slurm", "down", folder], check=True, timeout=120)


@dataclass
class Site:
    """A user's folder on a login node."""

    folder: Path
    graph: Path
    environment: dict[str, str]
    logs: Path = field(init=False)

    def __post_init__(self):
        self.logs = self.folder / "logs"

    def spec(self, name="site.yaml", *, walltime="00:30:00", more=""):
        path = self.folder / name
        path.write_text(SPEC.format(walltime=walltime, logs=self.logs) + more)
        return path

    def job(self, output, *words):
        files = [
            "--model-path",
            self.graph / "model.pt",
            "--train",
            self.graph / "train.txt",
            "--test",
            self.graph / "test.txt",
        ]
        maps = ["--entity-to-id", self.graph / "node_dict.txt", "--relation-to-id", self.graph / "rel_dict.txt"]
        maps += ["--cache-dir", self.folder / "cache"]
        return [*files, *maps, "--threads-per-worker", "1", "--output-dir", self.folder / output, *words]

    def start(self, *words):
        command = [sys.executable, "-m", "tracin_dask", *map(str, words)]
        return subprocess.Popen(
            command, env=self.environment, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def call(self, *words):
        with self.start(*words) as process:
            told, _ = process.communicate(timeout=400)
        assert process.returncode == 0, told
        return told

    def slurm(self, *words):
        return subprocess.check_output(words, env=self.environment, text=True, timeout=60)

    def submit(self, spec, output, *words):
        path = self.folder / "submitted.yaml"
        path.write_text(spec)
        return self.call("submit", path, *self.job(output, *words)).split("submitted job ")[1].split(":")[0]

    def is_queued(self, job):
        return job in self.slurm("squeue", "--noheader", "--format=%A").split()

    def running_jobs(self):
        return self.slurm("squeue", "--noheader", "--states=RUNNING", "--format=%A").split()

    def halt(self, job):
        """Let a job hang: it cannot end, nor a run that waits for it, however fast this machine is."""
        self._signal(job, signal.SIGSTOP)

    def let_go_on(self, job):
        self._signal(job, signal.SIGCONT)

    def _signal(self, job, number):
        listed = self.slurm("scontrol", "listpids", job).splitlines()[1:]
        for pid in {int(line.split()[0]) for line in listed} - {-1}:
            os.kill(pid, number)

    def records(self, output):
        return len(list((self.folder / output / ".progress").glob("rows-*.npz")))

    def influences(self, output):
        files = sorted((self.folder / output).glob("triple_*.json"))
        assert files
        return {file.name: json.loads(file.read_text())["influences"] for file in files}

    def about(self, output):
        return json.loads((self.folder / output / "summary.json").read_text())["run"]


@pytest.fixture(scope="module")
def undisturbed_site(slurm, made_graph, tmp_path_factory):
    """The long job on two plain workers, with nothing in its way."""
    site = Site(tmp_path_factory.mktemp("undisturbed"), made_graph, slurm)
    told = site.call("run", *site.job("long", *LONG_JOB), "--cluster", site.spec())
    assert "running in 2 workers × 1 thread on Slurm" in told
    return site


@pytest.fixture(scope="module")
def undisturbed(undisturbed_site):
    return undisturbed_site.influences("long")


@pytest.fixture
def site(slurm, made_graph, tmp_path):
    return Site(tmp_path, made_graph, slurm)


def wait_until(is_true, *, seconds, process=None):
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "waited in vain"
        assert process is None or process.poll() is None, process.stdout.read()
        time.sleep(0.2)


def test_dask_cuda_workers_in_slurm_jobs_give_the_results_of_one_process(site, tmp_path_factory):
    on_cpus = ("--device", "cpu")  # a plan for GPUs has other batches, and so other last digits
    site.call("run", *site.job("here", *JOB_OF_SECONDS), *on_cpus)
    double = nvml_environment(tmp_path_factory)
    setup = "".join(f"  - export {name}={value}\n" for name, value in double.items())
    spec = site.spec(more=f"gpus_per_job: 2\ncpus_per_job: 2\nsetup:\n{setup}")
    told = site.call("run", *site.job("gpus", *JOB_OF_SECONDS), *on_cpus, "--cluster", spec)
    assert "running in 4 workers × 1 thread on Slurm" in told
    assert site.influences("gpus") == site.influences("here")
    assert site.running_jobs() == []


def test_cluster_check_tests_every_slurm_worker(site):
    told = site.call("cluster", "check", site.spec())
    assert "2 worker(s) found the known influences" in told


def test_a_cancelled_slurm_job_is_replaced_and_changes_no_result(site, undisturbed):
    with site.start("run", *site.job("long", *LONG_JOB), "--cluster", site.spec()) as process:
        wait_until(lambda: site.records("long") > 0, seconds=120, process=process)
        before = site.running_jobs()
        assert len(before) == 2
        site.halt(before[1])
        site.slurm("scancel", before[0])
        wait_until(lambda: set(site.running_jobs()) - set(before), seconds=60, process=process)
        site.let_go_on(before[1])
        told, _ = process.communicate(timeout=300)
    assert process.returncode == 0, told
    assert site.influences("long") == undisturbed


@pytest.mark.slow
def test_slurm_workers_leave_before_their_walltime_and_are_replaced(site, undisturbed, undisturbed_site):
    stays = min(40, round(0.6 * undisturbed_site.about("long")["seconds"]))  # longer than a task
    spec = site.spec(walltime="00:01:00", more=f"leave_before: 00:00:{60 - stays}\n")
    with site.start("run", *site.job("long", *LONG_JOB), "--cluster", spec) as process:
        wait_until(lambda: site.records("long") > 0, seconds=120, process=process)
        before = site.running_jobs()
        site.halt(before[0])  # its task is waited for until both have to leave
        time.sleep(stays)
        site.let_go_on(before[0])
        told, _ = process.communicate(timeout=300)
    assert process.returncode == 0, told
    logs = [path.read_text() for path in site.logs.glob("*.err")]
    assert len(logs) > 2
    assert not any("TIME LIMIT" in log for log in logs)
    assert site.influences("long") == undisturbed


@pytest.mark.slow
def test_a_submitted_run_that_hits_its_walltime_continues_when_submitted_again(site, undisturbed):
    spec = site.spec().read_text()
    job = site.submit(spec, "long", *LONG_JOB)
    wait_until(lambda: site.records("long") > 0, seconds=300)
    site.slurm("scontrol", "update", f"JobId={job}", "TimeLimit=1")  # minutes: Slurm ends it at its next look
    site.halt(job)
    wait_until(lambda: not site.is_queued(job), seconds=150)
    log = (site.logs / f"run-{job}.log").read_text()
    assert "TIME LIMIT" in log
    assert re.search(r"ssh -N -L (\d+):.*http://localhost:\1/tracin", log)
    assert not (site.folder / "long" / "summary.json").exists()
    job = site.submit(spec, "long", *LONG_JOB)
    wait_until(lambda: not site.is_queued(job), seconds=300)
    assert (site.folder / "long" / "summary.json").exists(), (site.logs / f"run-{job}.log").read_text()
    assert site.influences("long") == undisturbed
    about = site.about("long")
    assert 0 < about["statistics"]["resumed_rows"] < about["num_training_triples"]
    assert about["workers"] == 2


def test_jobs_that_slurm_refuses_are_reported_at_once(site):
    spec = site.spec(more="queue: nowhere\n")
    with site.start("run", *site.job("never", *JOB_OF_SECONDS), "--cluster", spec) as process:
        told, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Error: Slurm refuses the job" in told
    assert "invalid partition" in told


def test_reasons_of_pending_slurm_jobs_are_printed(site):
    spec = site.spec(more="directives:\n  - --begin=now+1hour\nwait_minutes: 1\n")
    with site.start("run", *site.job("never", *JOB_OF_SECONDS), "--cluster", spec) as process:
        told, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "PENDING (BeginTime)" in told
    assert "no worker after 1 minutes" in told
