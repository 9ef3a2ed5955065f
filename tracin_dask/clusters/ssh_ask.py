"""Asks all hosts of an SSH cluster, before workers start, for versions of packages and for what the machines have."""

import json
import shlex
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tracin_dask import versions
from tracin_dask.clusters import ssh_question
from tracin_dask.clusters.log_end import reason
from tracin_dask.clusters.ssh_command import NO_CONNECTION, question_script, ssh_command
from tracin_dask.errors import ClusterError
from tracin_dask.resources import Machine

if TYPE_CHECKING:
    from tracin_dask.clusters.ssh import Ssh
    from tracin_dask.clusters.ssh_hosts import Host

ASK_SECONDS = 60
"""How long a host may take to answer: Python starts there, and perhaps modules are loaded."""
AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a host has."""

    machine: Machine
    sees_client_as: str
    """The address of this machine that the host's connection comes from; empty if the host does not say."""


def ask_hosts(site: "Ssh") -> list[Answer]:
    """Ask all hosts at once.

    Raises
    ------
    ClusterError
        If one of them cannot be reached, has no Python where it should be, or other versions than this process.
    """
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return list(pool.map(lambda host: _ask(site, host), site.hosts))


def address_of_client(answers: Sequence[Answer]) -> str | None:
    """Give the address of this machine that all hosts see; None if they see several.

    Raises
    ------
    ClusterError
        If hosts see an address that this machine does not have: then workers would not find the scheduler there.
    """
    seen = {answer.sees_client_as for answer in answers} - {""}
    own = {one.address for interface in psutil.net_if_addrs().values() for one in interface}
    foreign = sorted(seen - own)
    if foreign:
        raise ClusterError(
            f"hosts see this machine as {foreign[0]}, which is none of its own addresses (a router translates them?); "
            "state scheduler_host, an address that hosts can reach, or start from a machine of their network"
        )
    return seen.pop() if len(seen) == 1 else None


def _ask(site: "Ssh", host: "Host") -> Answer:
    command = ssh_command(site, host, question_script(site))
    program = Path(ssh_question.__file__).read_text(encoding="utf-8")
    try:
        answer = subprocess.run(  # noqa: S603 - the command of a specification file
            command, input=program, capture_output=True, text=True, check=False, timeout=ASK_SECONDS, errors="replace"
        )
    except OSError as error:
        raise ClusterError(f"ssh cannot be called ({error.strerror}); install OpenSSH's client") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(
            f"{host.host} does not answer within {ASK_SECONDS} s; try `{_by_hand(site, host)}`"
        ) from error
    said = [line for line in answer.stdout.splitlines() if line.startswith(ssh_question.MARK)]
    if not said:
        said_why = reason(answer.stderr) or f"exit code {answer.returncode}"
        if answer.returncode == NO_CONNECTION:
            raise ClusterError(f"{host.host} cannot be reached by SSH ({said_why}); try `{_by_hand(site, host)}`")
        raise ClusterError(
            f"{host.host}: Python does not start ({said_why}); python, folder and setup say which one, where and how"
        )
    return _read(host, said[-1].removeprefix(ssh_question.MARK))


def _read(host: "Host", line: str) -> Answer:
    found = json.loads(line)
    here = versions.of_this_process()
    told = versions.differences(here, {"Python": found["Python"]} | found["packages"])
    if told or found["machine"] is None:
        raise ClusterError(f"{host.host} has {told or 'a damaged tracin-dask'}; {versions.remedy(host.host, here)}")
    return Answer(machine=Machine(**found["machine"]), sees_client_as=found["sees_client_as"])


def _by_hand(site: "Ssh", host: "Host") -> str:
    words = [word for option in site.ssh_options for word in shlex.split(option)]
    return shlex.join(["ssh", *words, host.host])
