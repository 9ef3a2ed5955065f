"""Certificates of a cluster of several machines: stated in its specification file, or in Dask's own configuration."""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from distributed.security import Security

from tracin_dask.clusters import settings
from tracin_dask.clusters.settings import setting
from tracin_dask.errors import ConfigError

Role = Literal["client", "scheduler", "worker"]
ENCRYPTED = ("tls://", "wss://")
"""Schemes of addresses."""
FILES = ("tls_ca_file", "tls_cert", "tls_key")
_COMM = "distributed.comm.tls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Settings of a kind of cluster: paths of PEM files that all its machines see; all three or none."""

    tls_ca_file: str | None = setting(settings.text, None)
    """Certificate of the authority that signed the others."""
    tls_cert: str | None = setting(settings.text, None)
    """Certificate of client, scheduler and workers."""
    tls_key: str | None = setting(settings.text, None)

    def __post_init__(self) -> None:
        """Refuse a certificate without its key, and the like.

        Raises
        ------
        ConfigError
            With the settings that are missing.
        """
        missing = [name for name, path in _paths(self).items() if path is None]
        if 0 < len(missing) < len(FILES):
            raise ConfigError(f"{', '.join(FILES)} belong together, and {', '.join(missing)} is missing")


def _paths(stated: Certificates) -> dict[str, str | None]:
    return {name: getattr(stated, name) for name in FILES}


def dask_settings(stated: Certificates) -> dict[str, str]:
    """Give the settings of Dask for what is stated; Dask's own configuration counts where nothing is."""
    files = {name: path for name, path in _paths(stated).items() if path is not None}
    return dask_settings_of(files) if files else {}


def dask_settings_of(files: Mapping[str, str]) -> dict[str, str]:
    """Give the settings of Dask for the paths of three files by their settings' names."""
    found = {f"{_COMM}.ca-file": files["tls_ca_file"]}
    for role in ("client", "scheduler", "worker"):
        found |= {f"{_COMM}.{role}.cert": files["tls_cert"], f"{_COMM}.{role}.key": files["tls_key"]}
    return found


def exports(of_dask: dict[str, str]) -> dict[str, str]:
    """Give settings of Dask as variables, for the processes of a job."""
    return {f"DASK_{name.upper().replace('.', '__').replace('-', '_')}": value for name, value in of_dask.items()}


def encrypts(*roles: Role) -> bool:
    """Tell whether Dask's configuration has certificates for one or more roles.

    Raises
    ------
    ConfigError
        If it has only a part of what is needed, or files that cannot be read as such.
    """
    security = Security()
    files = {role: security.get_tls_config_for_role(role) for role in roles}
    found = {f"{role}.cert": files[role]["cert"] for role in roles} | {"ca-file": files[roles[0]]["ca_file"]}
    missing = [f"{_COMM}.{name}" for name, value in found.items() if not value]
    if len(missing) == len(found):
        return False
    if missing:
        raise ConfigError(f"certificates are half given: {', '.join(missing)} is missing in Dask's configuration")
    _load(security, roles)
    return True


def _load(security: Security, roles: Sequence[Role]) -> None:
    for role in roles:
        try:
            security.get_connection_args(role)
        except (OSError, ssl.SSLError) as error:
            files = security.get_tls_config_for_role(role)
            named = ", ".join(str(files[name]) for name in ("ca_file", "cert", "key") if files[name])
            raise ConfigError(f"the certificates cannot be read ({error}): {named}; expected PEM files") from error
