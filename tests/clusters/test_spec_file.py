"""Specification files: the ones that come with the package, kinds of your own, and every way to get one wrong."""

import pytest
import yaml

from tracin_dask.clusters.cuda import Cuda
from tracin_dask.clusters.kinds import KINDS, find_kind
from tracin_dask.clusters.local import Local
from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.clusters.settings import settings_of
from tracin_dask.clusters.slurm import Slurm
from tracin_dask.clusters.templates import template
from tracin_dask.errors import ConfigError

GIB = 2**30


@pytest.fixture
def spec_of(tmp_path):
    def read(text):
        path = tmp_path / "site.yaml"
        path.write_text(text)
        return parse_cluster(str(path))

    return read


@pytest.mark.parametrize("kind", KINDS)
def test_specification_files_of_the_package_are_valid_and_name_every_setting(kind, spec_of):
    text = template(kind)
    assert isinstance(spec_of(text), find_kind(kind))
    mentioned = {line.removeprefix("# ").split(":")[0] for line in text.splitlines() if ":" in line}
    assert set(settings_of(find_kind(kind))) <= mentioned


@pytest.mark.parametrize("kind", KINDS)
def test_commented_settings_of_specification_files_are_valid(kind, spec_of):
    lines = [line.removeprefix("# ") for line in template(kind).splitlines()]
    instead = ("host: 127.0.0.1", "scheduler_interface: eth0")  # of interface, of scheduler_host
    lines = [line for line in lines if not (line == instead[0] or (kind == "ssh" and line == instead[1]))]
    names = set(settings_of(find_kind(kind))) | {"kind"}
    kept = [line for line in lines if line.split(":")[0] in names or line.startswith("  - ")]
    assert isinstance(spec_of("\n".join(kept)), find_kind(kind))


def test_values_of_a_specification_file_are_read_as_written(spec_of):
    assert spec_of("kind: local\nworkers: 3\nmemory_per_worker: 2GiB\n") == Local(workers=3, memory_per_worker=2 * GIB)
    assert spec_of("kind: cuda\ndevices:\n  - 0\n  - MIG-41b3\nrmm_managed_memory: true\n") == Cuda(
        devices=("0", "MIG-41b3"), rmm_managed_memory=True
    )
    text = "kind: slurm\njobs: 2\nwalltime: 04:00:00\nmemory_per_job: 8GiB\nqueue: 0123\nsetup: [module load a]\n"
    assert spec_of(text) == Slurm(
        jobs=2, walltime="04:00:00", memory_per_job=8 * GIB, queue="0123", setup=("module load a",)
    )


@pytest.mark.fault("a specification file with an invalid setting", promised="one message that names the line")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"site\.yaml:1: expected lines of `setting: value`"),
        ("- a\n", r"site\.yaml:1: expected lines"),
        (
            "workers: 2\n",
            r"site\.yaml:1: kind: expected one of local, cuda, .*, address, or `package\.module:Class` .*, not ''",
        ),
        ("# mine\nkind: oar\n", r"site\.yaml:2: kind: expected one of .*, not 'oar'"),
        (
            "kind: slurm\nmemory_per_job: 64000\n",
            r"site\.yaml:2: memory_per_job: expected a size with its unit, .*Slurm's megabytes write 64000MiB, not",
        ),
        ("kind: slurm\nmemory_option: max\n", r"memory_option: expected one of mem, mem-per-cpu, none, not 'max'"),
        ("kind: no_module:Kind\n", r"site\.yaml:1: kind: no_module:Kind cannot be imported \(No module named"),
        ("kind: yaml:Kind\n", r"site\.yaml:1: kind: yaml:Kind cannot be imported \(module 'yaml' has no attribute"),
        ("kind: local\nworkers: 2\nwrokers: 2\n", r"site\.yaml:3: wrokers: unknown setting of kind local; .*workers"),
        ("kind: local\nworkers: 2\nworkers: 3\n", r"site\.yaml:3: workers is stated twice"),
        ("kind: local\nworkers: 0\n", r"site\.yaml:2: workers: expected a whole number of at least 1, not '0'"),
        ("kind: local\nworkers: many\n", r"workers: expected a whole number, not 'many'"),
        ("kind: local\nworkers: [1]\n", r"workers: expected a whole number, not a list"),
        ("kind: local\nmemory_per_worker: 8 GX\n", r"memory_per_worker: expected a size such as 16GiB, not"),
        ("kind: cuda\ndevices: 0\n", r"devices: expected a list"),
        ("kind: cuda\ndevice_memory_limit: 1.5\n", r"expected a part of the memory such as 0\.8, or a size"),
        ("kind: cuda\nrmm_managed_memory: maybe\n", r"rmm_managed_memory: expected true or false, not 'maybe'"),
        ("kind: slurm\njobs: 2\n", r"kind slurm needs walltime, memory_per_job"),
        ("kind: slurm\nwalltime: 4h\n", r"site\.yaml:2: walltime: expected a time such as 04:00:00"),
        ("kind: slurm\nwalltime: 00:00:00\n", r"walltime: expected a time"),
        ("kind: local\n  workers: : 2\n", r"site\.yaml:2: not valid YAML"),
        ("kind: local\n# \x07\n", r"site\.yaml: not valid YAML: unacceptable character #x0007"),
        ("[" * 5000, r"site\.yaml: nested too deeply; expected lines of `setting: value`"),
        ("- " * 5000, r"site\.yaml: nested too deeply"),
        ("? [a]\n: b\n", r"site\.yaml:1: expected `setting: value`, not a list or a block as setting"),
        ("# " + "a" * 200_000, r"site\.yaml: too large for a specification file"),
        ("kind: ..:a\n", r"site\.yaml:1: kind: expected one of local, .*, not '\.\.:a'"),
        ("kind: os:getcwd\n", r"site\.yaml:1: kind: os:getcwd is not a kind of cluster: expected a dataclass"),
        (
            f"kind: local\nworkers: {'9' * 5000}\n",
            r"workers: expected a whole number of at most 6 digits, not '9+'… \(5,000",
        ),
        ("kind: local\nworkers: 100000\n", r"site\.yaml: workers must be a whole number from 1 to 1,000, not 100000"),
        ("kind: local\nthreads_per_worker: 100000\n", r"threads_per_worker must be a whole number from 1 to 1,024"),
        (
            "kind: local\nmemory_per_worker: 1e400GB\n",
            r"memory_per_worker: expected a size such as 16GiB, not '1e400GB'",
        ),
        ('kind: slurm\ndirectives: ["--x\\ntouch y"]\n', r"directives: expected one line of text without control"),
        ('kind: slurm\nqueue: "a\\e[2J"\n', r"queue: expected one line of text without control characters"),
    ],
)
def test_an_invalid_setting_is_named_with_its_line(spec_of, text, message):
    with pytest.raises(ConfigError, match=message):
        spec_of(text)


def test_a_missing_specification_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: no such file; `tracin-dask cluster init KIND` writes one"):
        parse_cluster(str(tmp_path / "none.yaml"))


def test_a_walltime_is_read_as_text():
    assert yaml.safe_load("4:00:00") == 14400


def test_gpus_per_job_and_workers_per_job_together_are_refused(spec_of):
    text = "kind: slurm\njobs: 1\nwalltime: 01:00:00\nmemory_per_job: 4GiB\ngpus_per_job: 2\nworkers_per_job: 1\n"
    with pytest.raises(ConfigError, match=r"site\.yaml: workers_per_job is for jobs without GPUs"):
        spec_of(text)


def test_leave_before_longer_than_the_walltime_is_refused(spec_of):
    text = "kind: slurm\njobs: 1\nwalltime: 00:01:00\nmemory_per_job: 4GiB\nleave_before: 00:01:00\n"
    with pytest.raises(ConfigError, match=r"leave_before: workers would leave 00:01:00 before the end of 00:01:00"):
        spec_of(text)
