"""Where a run can be watched: the dashboard's address, and the tunnel to it from another machine."""

import getpass
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from tracin_dask.monitor.events import PAGE

_HERE = {"127.0.0.1", "localhost", "::1"}


def dashboard_lines(link: str, environment: Mapping[str, str]) -> list[str]:
    """Give the lines that say where to look; with a tunnel where this shell, job or scheduler is remote."""
    parts = urlsplit(link)
    lines = [f"dashboard: {link}, this run: {link.removesuffix('/status')}/{PAGE}"]
    is_here, in_job = parts.hostname in _HERE, "SLURM_JOB_ID" in environment
    if parts.port is None or (is_here and not in_job and "SSH_CONNECTION" not in environment):
        return lines
    here = socket.getfqdn()
    target = parts.hostname if not is_here else here if in_job else "127.0.0.1"
    through = environment.get("SLURM_SUBMIT_HOST", here)
    lines.append(
        f"  from your own machine: ssh -N -L {parts.port}:{target}:{parts.port} {getpass.getuser()}@{through}"
        f"  then http://localhost:{parts.port}/{PAGE}"
    )
    return lines
