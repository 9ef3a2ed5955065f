"""PBS, LSF, Grid Engine and HTCondor: the text of their jobs, and clusters of jobs that a double of them runs."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tracin_dask.clusters.cluster import Start
from tracin_dask.clusters.htcondor import HTCondor
from tracin_dask.clusters.job_options import job_script
from tracin_dask.clusters.lsf import Lsf
from tracin_dask.clusters.pbs import Pbs
from tracin_dask.clusters.sge import Sge
from tracin_dask.errors import ClusterError, ConfigError

GIB = 2**30
DOUBLE = Path(__file__).parents[1] / "doubles" / "batch_system"
PROGRAMS = ("qsub", "qdel", "qstat", "bsub", "bkill", "bjobs", "condor_submit", "condor_rm", "condor_q")
SIZES = {"jobs": 2, "walltime": "1-04:00:00", "memory_per_job": 64 * GIB, "cpus_per_job": 8}
GPUS = SIZES | {"gpus_per_job": 2, "account": "mine"}
LINES = {
    "PBS": (
        Pbs(**GPUS, queue="gpu", directives=("-l place=scatter",)),
        [
            "#PBS -q gpu",
            "#PBS -A mine",
            "#PBS -l select=1:ncpus=8:ngpus=2:mem=65536mb",
            "#PBS -l walltime=28:00:00",
            "#PBS -l place=scatter",
        ],
    ),
    "PBS, own resources": (Pbs(**SIZES, resource_spec="nodes=1:ppn=8"), ["#PBS -l nodes=1:ppn=8"]),
    "LSF": (
        Lsf(**GPUS, queue="gpu", memory_units="MB", directives=("-R rusage[x=1]",)),
        [
            "#BSUB -q gpu",
            '#BSUB -P "mine"',
            "#BSUB -n 8",
            '#BSUB -R "span[hosts=1]"',
            "#BSUB -M 68720",
            "#BSUB -W 28:00",
            '#BSUB -gpu "num=2"',
            "#BSUB -R rusage[x=1]",
        ],
    ),
    "Grid Engine": (
        Sge(**GPUS, queue="gpu.q", directives=("-l hostname=a",)),
        [
            "#$ -q gpu.q",
            "#$ -P mine",
            "#$ -pe smp 8",
            "#$ -l h_vmem=8192M",
            "#$ -l gpu=2",
            "#$ -l h_rt=100800",
            "#$ -l hostname=a",
        ],
    ),
    "HTCondor": (
        HTCondor(**GPUS, disk_per_job=2 * GIB, directives=('requirements = (Machine == "a")', "+Mine = 1")),
        [
            "RequestCpus = 8",
            "MY.DaskWorkerMemory = 68719476736",
            "MY.DaskWorkerDisk = 2147483648",
            "request_gpus = 2",
            "accounting_group = mine",
            "allowed_job_duration = 100800",
            'requirements = (Machine == "a")',
            "+Mine = 1",
        ],
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_the_script_of_a_job_has_the_settings_of_the_site(name):
    site, expected = LINES[name]
    lines = job_script(site, "10.0.0.1:8786").splitlines()
    assert [line for line in expected if line not in lines] == [], "\n".join(lines)


@pytest.mark.parametrize("name", ["PBS", "LSF", "Grid Engine", "HTCondor"])
def test_a_job_with_gpus_starts_a_worker_per_gpu_and_leaves_in_time(name):
    script = job_script(LINES[name][0], "10.0.0.1:8786")
    assert " -m dask_cuda.cli tcp://10.0.0.1:8786 " in script
    assert f"export DASK_DISTRIBUTED__WORKER__LIFETIME__DURATION={100800 - 120}s" in script
    assert LINES[name][0].describe().endswith(job_script(LINES[name][0]))


def test_a_grid_engine_without_memory_and_parallel_environment_is_not_asked_for_them():
    site = Sge(jobs=1, walltime="01:00:00", memory_per_job=GIB, memory_resource="none", gpu_resource="none")
    assert not re.search(r"^#\$ -(pe|l (?!h_rt))", job_script(site), flags=re.MULTILINE)


def test_lines_that_a_submit_file_cannot_hold_are_refused():
    with pytest.raises(ConfigError, match="setup: HTCondor takes commands of one line each"):
        HTCondor(**SIZES, setup=("if true; then\n  module load a\nfi",))
    with pytest.raises(ConfigError, match=r"directives: expected `name = value` of a submit file, not '-l mem'"):
        HTCondor(**SIZES, directives=("-l mem",))


@pytest.fixture
def batch_system(tmp_path, monkeypatch):
    """The folder of a double of all four batch systems, whose programs are on the path."""
    folder = tmp_path / "system"
    folder.mkdir()
    for program in PROGRAMS:
        (folder / program).symlink_to(DOUBLE)
    monkeypatch.setenv("BATCH_SYSTEM", str(folder))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return folder


SMALL = {
    "jobs": 2,
    "walltime": "01:00:00",
    "memory_per_job": GIB,
    "host": "127.0.0.1",
    "dashboard_address": "127.0.0.1:0",
    "wait_minutes": 1,
}
KINDS = [pytest.param(kind(**SMALL), id=kind.title) for kind in (Pbs, Lsf, Sge, HTCondor)]


@pytest.mark.parametrize("site", KINDS)
def test_jobs_become_workers_that_answer_and_end_with_the_cluster(site, batch_system):
    with site.open(Start(all_workers=True)) as opened:
        assert opened.resources.num_workers == 2
        assert opened.client.submit(sum, [1, 2, 3]).result() == 6
        pids = set(opened.client.run(os.getpid).values())
        assert len(pids) == 2
    assert len(list(batch_system.glob("[0-9]*"))) == 2
    assert not any(is_running(pid) for pid in pids)


def is_running(pid):
    try:
        return b"Z" not in Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[:1]
    except OSError:
        return False


@pytest.mark.parametrize("site", KINDS)
def test_a_job_that_the_batch_system_refuses_is_reported_at_once(site, batch_system):
    (batch_system / "refuses").touch()
    reason = "it does not say why" if isinstance(site, Lsf) else ".*Unknown queue"
    with (
        pytest.raises(ClusterError, match=rf"{site.title} refuses the job: {reason}.* \(script: .*worker\.sh\)"),
        site.open(Start()),
    ):
        pass


def test_a_machine_without_the_batch_system_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(ClusterError, match=r"PBS: qsub cannot be called \(No such file or directory\); start where"),
        Pbs(**SMALL).open(Start()),
    ):
        pass


@pytest.mark.usefixtures("batch_system")
def test_what_jobs_wait_for_and_their_last_words_are_in_the_error(monkeypatch):
    monkeypatch.setattr("tracin_dask.clusters.job_waiting.EXPLAIN_SECONDS", 2)
    monkeypatch.setattr("tracin_dask.clusters.job_waiting.MINUTE", 3)
    site = replace(Pbs(**SMALL), setup=("echo no module named torch > tracin-dask-logs/1.OU; sleep 60",))
    with (
        pytest.raises(
            ClusterError,
            match=r"no worker after 1 minutes; jobs: 1 tracin-dask waits for nodes; 2 .*; the output of the jobs is in "
            r"tracin-dask-logs; 1\.OU says: no module named torch",
        ),
        site.open(Start()),
    ):
        pass


def test_a_network_interface_that_this_machine_lacks_is_named():
    with (
        pytest.raises(
            ConfigError, match=r"scheduler_interface: this machine has no network interface ib7; it has .*lo"
        ),
        Pbs(**SMALL | {"host": None, "scheduler_interface": "ib7", "interface": "ib0"}).open(Start()),
    ):
        pass


def test_scheduler_and_workers_may_listen_on_interfaces_of_different_names():
    site = Pbs(**SIZES, scheduler_interface="eth0", interface="ib0")
    assert site.scheduler_listen == {"interface": "eth0"}
    assert "--interface ib0" in job_script(site)


def test_an_address_and_an_interface_together_are_refused():
    with pytest.raises(ConfigError, match="host and interface both say where scheduler and workers listen"):
        Pbs(**SIZES, host="10.0.0.1", interface="ib0")
