"""Reads a specification file: YAML with a kind and its settings, every wrong one named with its line."""

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import yaml

from tracin_dask.clusters.spec import KINDS, ClusterSpec
from tracin_dask.errors import ConfigError


def read_spec(path: str | Path) -> ClusterSpec:
    """Read a specification file.

    Raises
    ------
    ConfigError
        If it cannot be read, or a key or value is wrong or missing; file and line are named.
    """
    entries = _entries(Path(path))
    kind_key, kind_node = entries.pop("kind", (None, None))
    kind = kind_node.value if isinstance(kind_node, yaml.ScalarNode) else None
    if kind not in KINDS:
        line = kind_key.start_mark.line + 1 if kind_key is not None else 1
        raise ConfigError(f"{path}:{line}: expected `kind:` with one of {', '.join(KINDS)}")
    known = {setting.name: setting for setting in fields(KINDS[kind])}
    values: dict[str, Any] = {}
    for name, (key, node) in entries.items():
        where = f"{path}:{key.start_mark.line + 1}: {name}"
        if name not in known:
            raise ConfigError(f"{where}: unknown setting of kind {kind}; expected one of {', '.join(known)}")
        if node.tag == "tag:yaml.org,2002:null":
            continue
        try:
            values[name] = known[name].metadata["read"](node)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}, not {_shown(node)}") from None
    missing = [name for name, setting in known.items() if setting.default is MISSING and name not in values]
    if missing:
        raise ConfigError(f"{path}: kind {kind} needs {', '.join(missing)} to be stated")
    try:
        return KINDS[kind](**values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _entries(path: Path) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `tracin-dask cluster init KIND` writes one to edit") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem}") from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{path}:1: expected lines of `setting: value`, beginning with `kind:`")
    entries: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key, node in root.value:
        if key.value in entries:
            raise ConfigError(f"{path}:{key.start_mark.line + 1}: {key.value} is stated twice")
        entries[str(key.value)] = (key, node)
    return entries


def _shown(node: yaml.Node) -> str:
    return repr(node.value) if isinstance(node, yaml.ScalarNode) else "a list or a block of settings"
