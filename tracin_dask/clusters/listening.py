"""Where the scheduler that this process starts listens: a network interface or an address of this machine."""

import psutil

from tracin_dask.errors import ConfigError


def refuse_missing_interface(setting: str, interface: str | None) -> None:
    """Refuse a network interface that this machine does not have.

    Raises
    ------
    ConfigError
        With the setting, and the interfaces that there are.
    """
    there = psutil.net_if_addrs()
    if interface is not None and interface not in there:
        raise ConfigError(
            f"{setting}: this machine has no network interface {interface}; it has {', '.join(sorted(there))}. "
            "scheduler_interface and interface may differ: the first is of this machine, the second of the workers'"
        )
