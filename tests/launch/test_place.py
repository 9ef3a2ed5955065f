"""The choice of a place: this process, workers on this machine's CPUs or GPUs, or a cluster."""

from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from tracin_dask import resources
from tracin_dask.clusters.address import Address
from tracin_dask.clusters.auto import Auto
from tracin_dask.clusters.cluster import OpenCluster
from tracin_dask.clusters.cuda import Cuda
from tracin_dask.clusters.local import Local
from tracin_dask.clusters.slurm import Slurm
from tracin_dask.errors import ConfigError, MemoryLimitError
from tracin_dask.launch import place
from tracin_dask.launch.place import choose, open_place, plan_only
from tracin_dask.resources import Machine, Resources, WorkerOptions
from tracin_dask.runs import TASKS
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.prepare import prepare

MIB = 2**20
MACHINE = Machine(num_cpus=4, memory_bytes=4096 * MIB)


@pytest.fixture(scope="module")
def prepared(graph, checkpoint):
    """Self-influence on the CPU."""
    return prepare(graph.store, checkpoint, config=RunConfig.of(mode="self", device="cpu"))


@pytest.fixture(scope="module")
def on_any_device(prepared):
    return replace(prepared, config=prepared.config.changed(device="auto"))


@pytest.fixture
def large(monkeypatch):
    """Let every job count as large."""
    monkeypatch.setattr(place, "SMALL_JOB_SECONDS", 0.0)


@pytest.fixture
def machine(monkeypatch):
    """Let this machine be another one."""
    monkeypatch.setattr(place, "this_machine", lambda: MACHINE)


def chosen(prepared, cluster, machine=MACHINE, **asked):
    return choose(prepared, cluster, WorkerOptions(**asked), machine)


def sizes(choice):
    return choice.plan.resources.num_workers, choice.plan.resources.threads_per_worker


class TestAuto:
    def test_a_small_job_stays_in_this_process_with_all_its_threads(self, prepared):
        choice = chosen(prepared, Auto())
        assert choice.cluster is None
        assert sizes(choice) == (1, 4)
        assert choice.note == " (a small job)"

    @pytest.mark.usefixtures("large")
    def test_a_large_job_gets_a_worker_per_cpu(self, prepared):
        choice = chosen(prepared, Auto())
        assert (choice.cluster, choice.note) == (Local(), "")
        assert sizes(choice) == (4, 1)
        assert choice.plan.resources.memory_bytes == int(0.8 * 1024 * MIB)

    @pytest.mark.usefixtures("large")
    def test_the_choice_of_cpus_without_a_gpu_is_explained(self, on_any_device):
        assert chosen(on_any_device, Auto()).note == ", which has no GPU"

    def test_a_number_of_workers_means_workers_even_for_a_small_job(self, prepared):
        choice = chosen(prepared, Auto(), workers=2)
        assert choice.cluster == Local()
        assert sizes(choice) == (2, 2)

    @pytest.mark.usefixtures("large")
    def test_one_gpu_keeps_the_job_in_this_process(self, prepared, on_any_device, monkeypatch):
        machine = replace(MACHINE, num_gpus=1)
        monkeypatch.setattr(resources, "own_gpu", lambda: ("GPU-1", 10 * 2**30))
        choice = chosen(on_any_device, Auto(), machine)
        assert (choice.cluster, choice.note) == (None, ", on its GPU")
        assert choice.plan.resources.device_bytes == 8 * 2**30
        assert choice.plan.batch_size > 8192  # as a GPU takes
        assert chosen(prepared, Auto(), machine).cluster == Local()

    def test_several_gpus_are_all_used_unless_cpus_are_asked_for(self, prepared, on_any_device):
        machine = replace(MACHINE, num_gpus=2)
        choice = chosen(on_any_device, Auto(), machine)
        assert choice.cluster == Cuda()
        assert sizes(choice) == (2, 2)
        assert chosen(on_any_device, Auto(), machine, workers=2).cluster == Local()
        assert chosen(prepared, Auto(), machine).cluster is None


class TestLocalWorkers:
    def test_local_means_workers_even_for_a_small_job(self, prepared):
        assert chosen(prepared, Local()).cluster == Local()

    def test_short_memory_lowers_the_default_number_of_workers(self, prepared):
        choice = chosen(prepared, Local(), replace(MACHINE, memory_bytes=1200 * MIB))
        assert sizes(choice) == (2, 2)
        assert choice.plan.memory.total <= choice.plan.resources.memory_bytes == int(0.8 * 600 * MIB)

    def test_a_machine_too_small_for_one_worker_is_refused(self, prepared):
        with pytest.raises(MemoryLimitError, match="but a worker may take 320 MiB"):
            chosen(prepared, Local(), replace(MACHINE, memory_bytes=400 * MIB))

    def test_a_stated_number_of_workers_is_not_lowered(self, prepared):
        with pytest.raises(MemoryLimitError, match="but a worker may take 240 MiB"):
            chosen(prepared, Local(), replace(MACHINE, memory_bytes=1200 * MIB), workers=4)


class TestPlanWithoutStarting:
    def test_jobs_of_slurm_are_planned_by_their_settings(self, prepared):
        site = Slurm(jobs=3, walltime="01:00:00", memory_per_job=2048 * MIB, cpus_per_job=4, workers_per_job=2)
        found = plan_only(prepared, site, WorkerOptions())
        assert found.where == "6 workers × 2 threads on Slurm"
        assert found.plan.resources.memory_bytes == 1024 * MIB

    def test_a_number_of_workers_is_refused_on_slurm(self, prepared):
        site = Slurm(jobs=3, walltime="01:00:00", memory_per_job=2048 * MIB)
        with pytest.raises(ConfigError, match=r"2 worker\(s\) are asked for, but Slurm states its own number"):
            plan_only(prepared, site, WorkerOptions(workers=2))

    @pytest.mark.usefixtures("machine")
    def test_local_workers_are_planned_for_this_machine(self, prepared):
        found = plan_only(prepared, Local(), WorkerOptions())
        assert found.where == "4 workers × 1 thread on this machine's CPUs"
        assert found.client is None


@dataclass(kw_only=True)
class Pretended:
    """A cluster that starts nothing: it writes down how it is opened, and claims to have found some workers."""

    expected: list[Resources]
    found: Resources
    starts: list = field(default_factory=list)
    title: str = "nothing"

    def describe(self):
        return "nothing"

    def expected_resources(self, asked, machine):  # noqa: ARG002 - the protocol's signature
        return [asked.applied_to(one) for one in self.expected]

    @contextmanager
    def open(self, start):
        self.starts.append(start)
        yield OpenCluster(client=None, resources=self.found)


FEW, MANY = (Resources(num_workers=number, memory_bytes=1024 * MIB) for number in (2, 7))


class TestOpen:
    def test_the_cluster_is_opened_for_the_expected_workers_and_the_plan_is_for_those_that_were_found(self, prepared):
        cluster = Pretended(expected=[FEW], found=MANY)
        with open_place(prepared, cluster, WorkerOptions(threads_per_worker=3)) as found:
            assert found.where == "7 workers × 3 threads on nothing"
            assert found.plan.resources == replace(MANY, threads_per_worker=3)
        (start,) = cluster.starts
        assert start.resources == replace(FEW, threads_per_worker=3)
        assert start.preload == (TASKS,)

    def test_the_first_workers_that_the_run_fits_into_are_started(self, prepared):
        small = replace(MANY, memory_bytes=100 * MIB)
        cluster = Pretended(expected=[small, FEW, MANY], found=FEW)
        with open_place(prepared, cluster, WorkerOptions()):
            pass
        assert cluster.starts[0].resources == FEW

    def test_no_worker_is_started_for_a_run_that_does_not_fit(self, prepared):
        cluster = Pretended(expected=[replace(FEW, memory_bytes=100 * MIB)], found=FEW)
        with pytest.raises(MemoryLimitError, match="may take 100 MiB"), open_place(prepared, cluster, WorkerOptions()):
            pass
        assert cluster.starts == []

    def test_workers_of_unknown_size_are_waited_for_with_a_message(self, prepared):
        cluster, said = Pretended(expected=[], found=FEW), []
        with open_place(prepared, cluster, WorkerOptions(), say=said.append) as found:
            assert found.plan.resources == FEW
        assert cluster.starts[0].resources is None
        assert said == ["waiting for workers on nothing"]

    def test_plan_asks_a_running_cluster_for_its_size(self, prepared):
        cluster = Pretended(expected=[], found=MANY)
        assert plan_only(prepared, cluster, WorkerOptions()).plan.resources == MANY

    def test_an_address_expects_no_workers(self):
        assert Address(address="tcp://10.0.0.1:8786").expected_resources(WorkerOptions(), MACHINE) == []
