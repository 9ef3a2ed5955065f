"""Slurm: the arguments of dask-jobqueue, the text of a job script, and the expected workers."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tracin_dask.clusters.allocation import batch_script, runner_options
from tracin_dask.clusters.job_options import cluster_options, job_script
from tracin_dask.clusters.slurm import Slurm
from tracin_dask.errors import ConfigError
from tracin_dask.resources import Machine, Resources, WorkerOptions

GIB = 2**30
CPUS = Slurm(jobs=2, walltime="04:00:00", memory_per_job=64 * GIB, cpus_per_job=8, queue="long", account="mine")
GPUS = Slurm(
    jobs=2,
    walltime="1-00:00:00",
    memory_per_job=64 * GIB,
    cpus_per_job=8,
    gpus_per_job=4,
    interface="ib0",
    python="/site/python",
    setup=("module load cuda",),
    directives=("--constraint=a100",),
)


@pytest.mark.parametrize(
    ("walltime", "leave_before", "seconds"),
    [
        ("04:00:00", None, 4 * 3600 - 120),
        ("00:10:00", None, 540),
        ("1-00:00:00", None, 86400 - 120),
        ("00:00:01", None, 1),
        ("04:00:00", "00:20:00", 3 * 3600 + 40 * 60),
    ],
)
def test_slurm_workers_leave_before_their_job_ends(walltime, leave_before, seconds):
    spec = Slurm(jobs=1, walltime=walltime, leave_before=leave_before, memory_per_job=GIB)
    setting = f"export DASK_DISTRIBUTED__WORKER__LIFETIME__DURATION={seconds}s"
    assert cluster_options(spec)["job_script_prologue"] == [setting]


def test_a_slurm_job_without_gpus_has_one_cpu_worker():
    options = cluster_options(CPUS)
    assert (options["cores"], options["processes"], options["job_cpu"]) == (1, 1, 8)
    assert (options["queue"], options["account"], options["python"]) == ("long", "mine", sys.executable)
    assert "worker_command" not in options
    assert options["job_extra_directives"] == []


def test_a_slurm_job_with_gpus_has_one_worker_per_gpu():
    options = cluster_options(GPUS)
    assert (options["cores"], options["processes"], options["worker_command"]) == (4, 4, "dask_cuda.cli")
    assert options["job_extra_directives"] == ["--gres=gpu:4", "--constraint=a100"]
    assert options["worker_extra_args"][:4] == ["--interface", "ib0", "--device-memory-limit", "0.8"]


def test_the_script_of_a_slurm_job_has_the_settings_of_the_site():
    script = job_script(GPUS, "10.0.0.1:8786")
    for line in ("#SBATCH --cpus-per-task=8", "#SBATCH --mem=64G", "#SBATCH -t 1-00:00:00", "#SBATCH --gres=gpu:4"):
        assert line in script.splitlines(), script
    assert script.index("module load cuda") < script.index("/site/python -m dask_cuda.cli tcp://10.0.0.1:8786")


@pytest.mark.parametrize(
    ("settings", "asked", "not_asked"),
    [
        ({}, ["--mem=64G", "--gres=gpu:4"], ["--exclusive"]),
        ({"memory_option": "mem-per-cpu"}, ["--mem-per-cpu=8192M"], ["--mem="]),
        ({"memory_option": "none"}, [], ["--mem"]),
        ({"gpu_type": "a100"}, ["--gres=gpu:a100:4"], []),
        ({"gpu_option": "gpus-per-node", "gpu_type": "h100"}, ["--gpus-per-node=h100:4"], ["--gres"]),
        ({"gpu_option": "gpus"}, ["--gpus=4"], ["--gres"]),
        ({"gpu_option": "none"}, [], ["--gres", "--gpus"]),
        ({"constraint": "a100&nvlink", "exclusive": True}, ["--constraint=a100&nvlink", "--exclusive"], []),
        ({"directives": ("--reservation=mine", "--nice=5")}, ["--reservation=mine", "--nice=5"], []),
    ],
)
def test_settings_of_a_site_are_options_of_sbatch(settings, asked, not_asked):
    site = replace(GPUS, **{"directives": ()} | settings)
    scripts = [job_script(site), batch_script(site, Path("site.yaml"), ["--top-k", "5"]).replace("65536M", "64G")]
    for script in scripts:
        options = [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]
        assert [option for option in asked if option not in options] == [], script
        assert [option for option in options if option.startswith(tuple(not_asked))] == [], script


def test_gpu_workers_start_even_where_sbatch_is_not_asked_for_gpus():
    assert "-m dask_cuda.cli" in job_script(replace(GPUS, gpu_option="none"))


def test_a_submitted_run_listens_where_its_site_says():
    site = replace(GPUS, scheduler_interface="eth0", dashboard_address="127.0.0.1:8787")
    options = runner_options(site)
    assert options["scheduler_options"] == {"interface": "eth0", "dashboard_address": "127.0.0.1:8787"}
    assert options["worker_options"]["interface"] == "ib0"


@pytest.mark.parametrize(("site", "expected"), [(CPUS, (2, 8, 64 * GIB)), (GPUS, (8, 2, 16 * GIB))])
def test_slurm_expects_the_workers_of_all_jobs(site, expected):
    machine = Machine(num_cpus=1, memory_bytes=GIB)
    num_workers, threads, memory = expected
    (found,) = site.expected_resources(WorkerOptions(), machine)
    assert found == Resources(num_workers=num_workers, threads_per_worker=threads, memory_bytes=memory)
    (found,) = site.expected_resources(WorkerOptions(threads_per_worker=1, memory_per_worker=GIB), machine)
    assert found == Resources(num_workers=num_workers, threads_per_worker=1, memory_bytes=GIB)


def test_words_of_a_job_script_are_quoted_as_in_a_submitted_run():
    site = replace(GPUS, python="/my site/python", scratch="/local/$USER; x", interface="ib 0")
    line = next(line for line in job_script(site).splitlines() if "dask_cuda.cli" in line)
    words = shlex.split(line)
    assert words[:3] == ["/my site/python", "-m", "dask_cuda.cli"]
    assert words[words.index("--local-directory") + 1] == "/local/$USER; x"
    assert words[words.index("--interface") + 1] == "ib 0"


@pytest.mark.fault("a line break in a directive of a job script", promised="one message")
@pytest.mark.parametrize("name", ["directives", "queue", "python", "logs"])
def test_a_line_break_in_a_job_script_is_refused(name):
    value = "--x\ntouch y"
    with pytest.raises(ConfigError, match=f"{name}: a line break or control character would change the script"):
        replace(CPUS, **{name: (value,) if name == "directives" else value})


def test_a_command_of_the_setup_may_have_several_lines():
    assert "if true; then\n  module load a\nfi" in job_script(
        replace(CPUS, setup=("if true; then\n  module load a\nfi",))
    )


def test_jobs_with_certificates_get_them_by_the_settings_of_dask():
    files = {"tls_ca_file": "/my certificates/ca.pem", "tls_cert": "/c.pem", "tls_key": "/k.pem"}
    lines = job_script(replace(CPUS, **files)).splitlines()
    assert "export DASK_DISTRIBUTED__COMM__TLS__CA_FILE='/my certificates/ca.pem'" in lines
    assert "export DASK_DISTRIBUTED__COMM__TLS__WORKER__CERT=/c.pem" in lines
    assert "export DASK_DISTRIBUTED__COMM__TLS__WORKER__KEY=/k.pem" in lines
    assert any("distributed.cli.dask_worker tls://SCHEDULER:PORT" in line for line in lines)
