"""The address of the dashboard, from this machine and through a tunnel."""

import pytest

from tracin_dask.cli.actions import dashboard
from tracin_dask.cli.actions.dashboard import dashboard_lines

BY_SSH = {"SSH_CONNECTION": "10.0.0.9 50000 10.0.0.1 22"}


@pytest.fixture(autouse=True)
def _known_names(monkeypatch):
    monkeypatch.setattr(dashboard.getpass, "getuser", lambda: "me")
    monkeypatch.setattr(dashboard.socket, "getfqdn", lambda: "login.site")


def test_on_a_local_machine_only_the_dashboard_link_is_printed():
    assert dashboard_lines("http://127.0.0.1:8787/status", {}) == [
        "dashboard: http://127.0.0.1:8787/status, this run: http://127.0.0.1:8787/tracin"
    ]


def test_in_an_ssh_session_the_tunnel_command_is_printed():
    tunnel = dashboard_lines("http://127.0.0.1:8787/status", BY_SSH)[1]
    assert "ssh -N -L 8787:127.0.0.1:8787 me@login.site  then http://localhost:8787/tracin" in tunnel


def test_the_tunnel_to_a_remote_scheduler_goes_through_this_machine():
    tunnel = dashboard_lines("http://10.0.0.5:8790/status", {})[1]
    assert "ssh -N -L 8790:10.0.0.5:8790 me@login.site" in tunnel


def test_a_proxied_dashboard_link_is_printed_unchanged():
    assert len(dashboard_lines("https://hub.site/user/me/proxy/8787/status", {})) == 1


def test_the_tunnel_to_a_slurm_job_goes_through_the_submitting_node():
    job = {"SLURM_JOB_ID": "7", "SLURM_SUBMIT_HOST": "submit.site"}
    assert "ssh -N -L 8787:login.site:8787 me@submit.site" in dashboard_lines("http://127.0.0.1:8787/status", job)[1]
    assert "ssh -N -L 8787:10.0.0.5:8787 me@submit.site" in dashboard_lines("http://10.0.0.5:8787/status", job)[1]
