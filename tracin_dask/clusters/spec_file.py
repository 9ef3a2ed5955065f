"""Reads a specification file: YAML with a kind and its settings, every wrong one named with its line."""

from pathlib import Path
from typing import Any

import yaml

from tracin_dask.clusters.cluster import Cluster
from tracin_dask.clusters.kinds import Kind, find_kind
from tracin_dask.clusters.settings import is_scalar, required_settings, settings_of
from tracin_dask.errors import ConfigError, PlaceError
from tracin_dask.limits import short
from tracin_dask.places.registry import local_path_of

MOST_CHARACTERS = 100_000
Entries = dict[str, tuple[yaml.Node, yaml.Node]]
"""Of a file: a setting's name to its key and its value, which know their lines."""


def read_cluster(path: str | Path) -> Cluster:
    """Read a specification file.

    Raises
    ------
    ConfigError
        If it cannot be read, or a key or value is wrong or missing; file and line are named.
    PlaceError
        If it does not lie in the file system.
    """
    entries = _entries(local_path_of(path, "a file of --cluster"))
    name, kind = _kind(path, entries)
    values = _values(path, entries, name, kind)
    missing = [setting for setting in required_settings(kind) if setting not in values]
    if missing:
        raise ConfigError(f"{path}: kind {name} needs {', '.join(missing)}")
    try:
        return kind(**values)
    except (ConfigError, PlaceError) as error:
        raise ConfigError(f"{path}: {error}") from None


def _kind(path: str | Path, entries: Entries) -> tuple[str, Kind]:
    """Find the kind that the file states."""
    key, node = entries.get("kind", (None, None))
    line = 1 if key is None else key.start_mark.line + 1
    name = node.value if node is not None and is_scalar(node) else ""
    try:
        return name, find_kind(name)
    except ConfigError as error:
        raise ConfigError(f"{path}:{line}: kind: {error}") from None


def _values(path: str | Path, entries: Entries, name: str, kind: Kind) -> dict[str, Any]:
    """Read the settings that are not empty."""
    known = settings_of(kind)
    values: dict[str, Any] = {}
    for setting, (key, node) in entries.items():
        where = f"{path}:{key.start_mark.line + 1}: {setting}"
        if setting == "kind" or (node.tag == "tag:yaml.org,2002:null" and setting in known):
            continue
        if setting not in known:
            raise ConfigError(f"{where}: unknown setting of kind {name}; expected one of {', '.join(known)}")
        try:
            values[setting] = known[setting].metadata["read"](node)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
        except ValueError as error:
            raise ConfigError(f"{where}: {error}, not {_shown(node)}") from None
    return values


def _entries(path: Path) -> Entries:
    try:
        root = yaml.compose(_text(path), Loader=yaml.SafeLoader)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `tracin-dask cluster init KIND` writes one to edit") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from error
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply; expected lines of `setting: value`") from None
    if root is None or root.id != "mapping":
        raise ConfigError(f"{path}:1: expected lines of `setting: value`, beginning with `kind:`")
    entries: Entries = {}
    for key, node in root.value:
        if not is_scalar(key):
            raise ConfigError(
                f"{path}:{key.start_mark.line + 1}: expected `setting: value`, not a list or a block as setting"
            )
        if key.value in entries:
            raise ConfigError(f"{path}:{key.start_mark.line + 1}: {key.value} is stated twice")
        entries[str(key.value)] = (key, node)
    return entries


def _text(path: Path) -> str:
    """Read the file; a specification is small, and what is not is something else."""
    with path.open(encoding="utf-8") as file:
        text = file.read(MOST_CHARACTERS + 1)
    if len(text) > MOST_CHARACTERS:
        raise ConfigError(f"{path}: too large for a specification file; expected lines of `setting: value`")
    return text


def _shown(node: yaml.Node) -> str:
    return short(node.value) if is_scalar(node) else "a list or a block of settings"
