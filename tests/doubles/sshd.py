"""Hosts that SSH reaches, for tests: each is a server of its own on the loopback interface, whose link can be cut."""

import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from doubles.ports import free_port

SETTINGS = """
ListenAddress 127.0.0.1
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """Servers by the names of their hosts, and the file that tells `ssh` how to reach them."""

    config: Path
    servers: dict[str, "subprocess.Popen[bytes]"]

    def cut(self, name: str) -> None:
        """Let a host fall silent: its server and all that was started through it stop, and no connection is closed."""
        for process in self._processes(name):
            process.send_signal(signal.SIGSTOP)

    def heal(self, name: str) -> None:
        """Let a host go on."""
        for process in self._processes(name):
            process.send_signal(signal.SIGCONT)

    def _processes(self, name: str) -> list[psutil.Process]:
        server = psutil.Process(self.servers[name].pid)
        return [server, *server.children(recursive=True)]


def start_hosts(folder: Path, *names: str) -> Hosts:
    """Start a server for each host; keys, certificates and logs lie in the folder."""
    server = shutil.which("sshd")
    assert server is not None
    for key in ("id", "server"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where the server locks itself in
    servers, config = {}, folder / "config"
    for name in names:
        port = free_port()
        lines = [
            f"Port {port}",
            f"HostKey {folder / 'server'}",
            f"AuthorizedKeysFile {folder / 'id.pub'}",
            "PidFile none",
        ]
        settings = folder / f"{name}.conf"
        settings.write_text(SETTINGS + "\n".join(lines) + "\n")
        servers[name] = subprocess.Popen([server, "-D", "-f", settings, "-E", folder / f"{name}.log"])
        _wait_for(port)
        with config.open("a") as file:
            file.write(f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias {name}\n")
    key = (folder / "server.pub").read_text().split()
    (folder / "known").write_text("".join(f"{name} {key[0]} {key[1]}\n" for name in names))
    with config.open("a") as file:
        file.write(f"Host *\n  IdentityFile {folder / 'id'}\n  IdentitiesOnly yes\n")
        file.write(f"  UserKnownHostsFile {folder / 'known'}\n")
    return Hosts(config=config, servers=servers)


def stop_hosts(hosts: Hosts) -> None:
    """End the servers and what was started through them."""
    for name, server in hosts.servers.items():
        hosts.heal(name)
        for process in psutil.Process(server.pid).children(recursive=True):
            process.kill()
        server.terminate()
        server.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, "sshd does not start"
            time.sleep(0.05)
        else:
            return
