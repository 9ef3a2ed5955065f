"""Certificates of a cluster of several machines: stated in its specification file, or in Dask's own configuration."""

import ssl
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

from distributed.security import Security

from tracin_dask.errors import ConfigError

Role = Literal["client", "scheduler", "worker"]
ENCRYPTED = ("tls://", "wss://")
"""Schemes of addresses."""
FILES = ("tls_ca_file", "tls_cert", "tls_key")
_COMM = "distributed.comm.tls"


@runtime_checkable
class Stated(Protocol):
    """Settings of a kind of cluster: paths of PEM files that all its machines see, or None."""

    @property
    def tls_ca_file(self) -> str | None:
        """Certificate of the authority that signed the others."""
        ...

    @property
    def tls_cert(self) -> str | None:
        """Certificate of client, scheduler and workers."""
        ...

    @property
    def tls_key(self) -> str | None:
        """Its key."""
        ...


def refuse_half(stated: Stated) -> None:
    """Refuse certificates without a key, and the like.

    Raises
    ------
    ConfigError
        With the settings that are missing.
    """
    values = {name: getattr(stated, name) for name in FILES}
    missing = [name for name, value in values.items() if value is None]
    if 0 < len(missing) < len(values):
        raise ConfigError(f"{', '.join(values)} belong together, and {', '.join(missing)} is missing")


def dask_settings(stated: Stated) -> dict[str, str]:
    """Give the settings of Dask for what is stated; Dask's own configuration counts where nothing is."""
    files = {name: getattr(stated, name) for name in FILES}
    return {} if None in files.values() else dask_settings_of(files)


def dask_settings_of(files: Mapping[str, str]) -> dict[str, str]:
    """Give the settings of Dask for the paths of three files by their settings' names."""
    settings = {f"{_COMM}.ca-file": files["tls_ca_file"]}
    for role in ("client", "scheduler", "worker"):
        settings |= {f"{_COMM}.{role}.cert": files["tls_cert"], f"{_COMM}.{role}.key": files["tls_key"]}
    return settings


def exports(settings: dict[str, str]) -> dict[str, str]:
    """Give settings of Dask as variables, for the processes of a job."""
    return {f"DASK_{name.upper().replace('.', '__').replace('-', '_')}": value for name, value in settings.items()}


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
