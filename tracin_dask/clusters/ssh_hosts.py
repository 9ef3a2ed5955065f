"""The hosts of an SSH cluster as a specification file states them: by name, or with settings of their own."""

from dataclasses import dataclass
from typing import Any

from tracin_dask.clusters import settings
from tracin_dask.clusters.settings import Node, setting
from tracin_dask.errors import ConfigError
from tracin_dask.limits import short


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host; what is not stated is as for all hosts."""

    host: str = setting(settings.text)
    """As `ssh` takes it: a name, an address, USER@NAME, or a name of ~/.ssh/config."""
    workers: int | None = setting(settings.count, None)
    memory_per_worker: int | None = setting(settings.size, None)
    gpus: bool | None = setting(settings.yes_or_no, None)
    """Whether it has one worker per GPU."""

    def __post_init__(self) -> None:
        """Refuse a name that `ssh` would take for an option, and workers where GPUs count them.

        Raises
        ------
        ConfigError
            With the host.
        """
        if not self.host.isprintable() or self.host.startswith("-"):
            raise ConfigError(f"{self.host!r} is not the name of a host")
        if self.gpus and self.workers:
            raise ConfigError(f"{self.host}: workers is for CPUs; with gpus there is one worker per GPU")


def hosts(node: Node) -> tuple[Host, ...]:
    """Read a list of hosts."""
    found = tuple(_host(entry) for entry in settings.entries(node))
    if not found:
        raise ValueError("expected at least one host")
    return found


def _host(node: Node) -> Host:
    if settings.is_scalar(node):
        return Host(host=settings.text(node))
    known = settings.settings_of(Host)
    values: dict[str, Any] = {}
    for key, value in node.value if node.id == "mapping" else [(node, node)]:
        name = key.value if settings.is_scalar(key) else ""
        if name not in known:
            raise ConfigError(f"{short(name)} is no setting of a host; expected a name, or {', '.join(known)}")
        try:
            values[name] = known[name].metadata["read"](value)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(f"{name}: {error}") from None
    if "host" not in values:
        raise ConfigError("an entry has settings and no `host`")
    return Host(**values)
