"""The commands of an SSH cluster, as text: what `ssh` is called with, and what a host's shell runs."""

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracin_dask.clusters.ssh import Ssh
    from tracin_dask.clusters.ssh_hosts import Host

CONNECT_SECONDS = 15
ALIVE_SECONDS = 5
"""`ssh` asks a silent host this often for a sign of life, and gives it up after so many questions in vain."""
ALIVE_QUESTIONS = 3
NO_CONNECTION = 255
"""Exit code of `ssh` itself."""
SETTINGS = "DASK_INTERNAL_INHERIT_CONFIG"
"""Dask reads settings from this variable; certificates travel in it, so it is sent and never part of a command."""
WAIT_FOR_SCHEDULER_SECONDS = 60


def ssh_command(site: "Ssh", host: "Host", script: str) -> list[str]:
    """Give the words that run a script of the POSIX shell on a host; whatever the user's shell there is."""
    own = [
        "BatchMode=yes",  # a question for a password would be asked of nobody
        f"ConnectTimeout={CONNECT_SECONDS}",
        f"ServerAliveInterval={ALIVE_SECONDS}",
        f"ServerAliveCountMax={ALIVE_QUESTIONS}",
    ]
    stated = [word for option in site.ssh_options for word in shlex.split(option)]  # first: ssh takes the first value
    options = [*stated, *(word for one in own for word in ("-o", one))]
    return ["ssh", "-T", *options, host.host, f"exec sh -c {shlex.quote(script)}"]


def question_script(site: "Ssh") -> str:
    """Give the script that runs a program from standard input in the environment of the workers."""
    return "\n".join([*_environment(site), f"exec {_python(site)} -"])


def worker_script(
    site: "Ssh",
    host: "Host",
    *,
    name: str,
    address: str = "tls://SCHEDULER:PORT",
    memory_bytes: int | None = None,
    preload: Sequence[str] = (),
) -> str:
    """Give the script of a host's workers: they end when standard input does, and so with the connection.

    Without an address and a size it is the text for people, before either is known.
    """
    limit = "MEMORY" if memory_bytes is None else str(memory_bytes)
    words = ["--name", name, "--nthreads", "1", "--memory-limit", limit, "--no-dashboard"]
    words += ["--death-timeout", str(WAIT_FOR_SCHEDULER_SECONDS)]
    words += ["--interface", site.interface] if site.interface else []
    words += ["--local-directory", site.scratch] if site.scratch else []
    words += [word for module in preload for word in ("--preload", module)]
    if site.has_gpus(host):
        module, words = "dask_cuda.cli", [*words, "--device-memory-limit", site.device_memory_limit]
    else:
        module, words = "distributed.cli.dask_worker", [*words, "--nworkers", str(site.num_workers_of(host))]
    return "\n".join(
        [
            *_environment(site),
            f"read -r {SETTINGS} && export {SETTINGS} || exit 1",
            "exec 3<&0",
            "(cat <&3; kill $$) > /dev/null 2>&1 &",
            f"exec {_python(site)} -m {module} {address} {shlex.join(words)} 3<&- < /dev/null",
        ]
    )


def _environment(site: "Ssh") -> list[str]:
    return [*([f"cd {shlex.quote(site.folder)} || exit 1"] if site.folder else []), *site.setup]


def _python(site: "Ssh") -> str:
    return shlex.quote(site.python or sys.executable)
