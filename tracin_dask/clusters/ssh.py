"""Workers on hosts that SSH reaches; the scheduler is in this process, and the connections are encrypted."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import dask
from distributed import Client, Scheduler, SpecCluster
from distributed.security import Security

from tracin_dask.clusters import settings, ssh_hosts, tls
from tracin_dask.clusters.cluster import OpenCluster, Start
from tracin_dask.clusters.listening import refuse_missing_interface
from tracin_dask.clusters.settings import setting
from tracin_dask.clusters.ssh_ask import Answer, address_of_client, ask_hosts
from tracin_dask.clusters.ssh_command import ssh_command, worker_script
from tracin_dask.clusters.ssh_hosts import Host
from tracin_dask.clusters.ssh_workers import Connection, Registered, RemoteWorkers
from tracin_dask.clusters.started import started
from tracin_dask.errors import ClusterError, ConfigError
from tracin_dask.resources import MEMORY_SHARE, Machine, Resources, WorkerOptions, of_client

ALLOWED_FAILURES = 10
"""How many workers may be lost at one task: hosts are rebooted for reasons that are not the task's."""
LOOK_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ssh(tls.Certificates):
    """Workers on hosts that SSH reaches."""

    title: ClassVar[str] = "SSH hosts"

    hosts: tuple[Host, ...] = setting(ssh_hosts.hosts)
    workers_per_host: int = setting(settings.count, 1)
    threads_per_worker: int | None = setting(settings.count, None)
    """The same for all workers, since it decides about last digits; by the CPUs of the hosts if not stated."""
    memory_per_worker: int | None = setting(settings.size, None)
    """By the memory of each host if not stated."""
    gpus: bool = setting(settings.yes_or_no, default=False)
    """One worker per GPU of every host."""
    device_memory_limit: str = setting(settings.device_memory, "0.8")
    python: str | None = setting(settings.text, None)
    """Interpreter on the hosts; a path as here if not stated."""
    folder: str | None = setting(settings.text, None)
    """Working directory on the hosts; the home directory if not stated."""
    setup: tuple[str, ...] = setting(settings.shell_commands, ())
    """Lines of shell that run before Python."""
    ssh_options: tuple[str, ...] = setting(settings.texts, ())
    scheduler_host: str | None = setting(settings.text, None)
    """Address of this machine that hosts reach; the one that their connections come from if not stated."""
    scheduler_port: int = setting(settings.port, 0)
    """Any free one if not stated."""
    scheduler_interface: str | None = setting(settings.text, None)
    interface: str | None = setting(settings.text, None)
    """Network interface of the workers."""
    dashboard_address: str = setting(settings.text, "127.0.0.1:8787")
    scratch: str | None = setting(settings.text, None)
    logs: str = setting(settings.text, "tracin-dask-logs")
    wait_minutes: int = setting(settings.count, 2)
    """How long to wait for the first worker."""

    def __post_init__(self) -> None:
        """Refuse settings that do not go together.

        Raises
        ------
        ConfigError
            If there is no host, the scheduler would listen in two places, or certificates are half given.
        """
        if not self.hosts:
            raise ConfigError("hosts: expected at least one host")
        if self.scheduler_host and self.scheduler_interface:
            raise ConfigError("scheduler_host and scheduler_interface both say where the scheduler listens; state one")
        tls.Certificates.__post_init__(self)  # super() does not know a class with slots

    def has_gpus(self, host: Host) -> bool:
        """Tell whether a host has one worker per GPU."""
        return self.gpus if host.gpus is None else host.gpus

    def num_workers_of(self, host: Host) -> int:
        """Count the workers of a host without GPUs."""
        return host.workers or self.workers_per_host

    def describe(self) -> str:
        """Give the script that the shell of every host would run."""
        scripts = [
            f"{host.host}:\n\n{worker_script(self, host, name=f'ssh-{number}')}\n"
            for number, host in enumerate(self.hosts)
        ]
        return f"{len(self.hosts)} host(s), each with this script over SSH:\n\n" + "\n".join(scripts)

    def expected_resources(self, asked: WorkerOptions, machine: Machine) -> Sequence[Resources]:  # noqa: ARG002 - its workers are on other machines
        """Give the workers where their size is stated; else only the hosts know it."""
        asked.refuse_number(self.title)
        memory = [host.memory_per_worker or self.memory_per_worker for host in self.hosts]
        if self.threads_per_worker is None or None in memory or any(self.has_gpus(host) for host in self.hosts):
            return []
        resources = Resources(
            num_workers=sum(self.num_workers_of(host) for host in self.hosts),
            threads_per_worker=self.threads_per_worker,
            memory_bytes=min(found for found in memory if found is not None),
        )
        return [asked.applied_to(resources)]

    @contextmanager
    def open(self, start: Start) -> Iterator[OpenCluster]:
        """Ask all hosts for versions and sizes, start their workers, and end them with the block.

        Workers end when the connection to their host does. A lost connection is said; the work goes to other hosts,
        and the connection is made again when the host answers.

        Raises
        ------
        ClusterError
            If a host cannot be reached or has other versions, or no worker comes in time: then with its last words.
        ConfigError
            If this machine has no such network interface, or certificates cannot be read.
        """
        refuse_missing_interface("scheduler_interface", self.scheduler_interface)
        answers = ask_hosts(self)
        host = self.scheduler_host or (None if self.scheduler_interface else address_of_client(answers))
        changed = {"distributed.scheduler.allowed-failures": ALLOWED_FAILURES}
        with dask.config.set(changed | tls.dask_settings(self)):
            own = tls.encrypts("client", "scheduler", "worker")
            security = Security() if own else Security.temporary()
            options = {"scheduler": self._scheduler(host, security), "workers": {}, "security": security}
            options["silence_logs"] = logging.ERROR
            with started(SpecCluster, options, title=self.title, patience=start.patience) as (cluster, client):
                connections = self._connections(answers, cluster.scheduler_address, start)
                with RemoteWorkers(connections, _secret(security), Registered(cluster), start.patience) as remote:
                    yield from self._when_there(client, remote, answers, start)

    def _when_there(
        self, client: Client, remote: RemoteWorkers, answers: Sequence[Answer], start: Start
    ) -> Iterator[OpenCluster]:
        """Wait for the first worker; what the workers of all hosts have in common is known from their answers."""
        counts = self._counts(answers)
        self._wait(client, remote, sum(counts) if start.all_workers else 1)
        cpus = min(answer.machine.num_cpus // count for answer, count in zip(answers, counts, strict=True))
        resources = replace(
            of_client(client, self.device_memory_limit),
            num_workers=sum(counts),
            threads_per_worker=self.threads_per_worker or max(1, cpus),
            memory_bytes=min(self._memory_of(*one) for one in zip(self.hosts, answers, counts, strict=True)),
        )
        yield OpenCluster(client=client, resources=resources)

    def _memory_of(self, host: Host, answer: Answer, count: int) -> int:
        """Give the bytes of one of a host's workers."""
        stated = host.memory_per_worker or self.memory_per_worker
        return stated or int(MEMORY_SHARE * answer.machine.memory_bytes / count)

    def _scheduler(self, host: str | None, security: Security) -> dict[str, Any]:
        options = {
            "protocol": "tls",
            "host": host,
            "interface": self.scheduler_interface,
            "port": self.scheduler_port,
            "security": security,
            "dashboard_address": self.dashboard_address,
        }
        return {"cls": Scheduler, "options": options}

    def _counts(self, answers: Sequence[Answer]) -> list[int]:
        """Count the workers of every host."""
        return [
            answer.machine.num_gpus if self.has_gpus(host) else self.num_workers_of(host)
            for host, answer in zip(self.hosts, answers, strict=True)
        ]

    def _connections(self, answers: Sequence[Answer], address: str, start: Start) -> list[Connection]:
        logs = Path(self.logs)
        logs.mkdir(parents=True, exist_ok=True)
        made = []
        for number, (host, answer, count) in enumerate(zip(self.hosts, answers, self._counts(answers), strict=True)):
            if count == 0:
                raise ClusterError(f"{host.host} has no NVIDIA GPU (`nvidia-smi` lists them there); leave out gpus")
            name, memory = f"ssh-{number}", self._memory_of(host, answer, count)
            script = worker_script(self, host, name=name, address=address, memory_bytes=memory, preload=start.preload)
            command = ssh_command(self, host, script)
            made.append(Connection(host=host.host, name=name, command=command, log=logs / f"{name}.log"))
        return made

    def _wait(self, client: Client, remote: RemoteWorkers, number: int) -> None:
        """Wait for so many workers."""
        deadline = time.monotonic() + 60 * self.wait_minutes
        while time.monotonic() < deadline and not remote.all_lost:
            try:
                client.wait_for_workers(number, timeout=LOOK_SECONDS)
            except TimeoutError:
                continue
            return
        there = len(client.scheduler_info(n_workers=-1)["workers"])
        raise ClusterError(
            f"{there} of {number} worker(s) came; the output of the hosts is in {self.logs}"
            + "".join(f"; {words}" for words in remote.last_words)
        )


def _secret(security: Security) -> bytes:
    """Give the certificate of workers as settings of Dask, in one line."""
    files = security.get_tls_config_for_role("worker")
    encryption = {"ca-file": files["ca_file"], "worker": {"cert": files["cert"], "key": files["key"]}}
    return str(dask.config.serialize({"distributed": {"comm": {"tls": encryption}}})).encode()
