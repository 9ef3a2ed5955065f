"""From the text of `--cluster` to a cluster: a kind, an address or a specification file."""

from tracin_dask.clusters.auto import Auto
from tracin_dask.clusters.cluster import Cluster
from tracin_dask.clusters.kinds import KINDS, find_kind
from tracin_dask.clusters.settings import required_settings
from tracin_dask.clusters.spec_file import read_cluster
from tracin_dask.errors import ConfigError

ADDRESS_SCHEMES = ("tcp://", "tls://", "ws://", "wss://", "ucx://")
WEB_SCHEMES = ("http://", "https://")


def parse_cluster(text: str) -> Cluster:
    """Parse `auto`, a kind, the address or the file (.json) of a scheduler, or a specification file (.yaml).

    Raises
    ------
    ConfigError
        If it is none of these, or a specification file is wrong: then the line is named.
    """
    if text == "auto":
        return Auto()
    if text.endswith((".yaml", ".yml")):
        return read_cluster(text)
    if text.startswith(ADDRESS_SCHEMES) or text.endswith(".json"):
        return find_kind("address")(address=text)
    if text.startswith(WEB_SCHEMES):
        raise ConfigError(
            f"{text} is the address of a web page, such as Dask's dashboard; give the scheduler's, such as "
            "tcp://10.0.0.1:8786, or for dask-gateway a specification file (`tracin-dask cluster init gateway`)"
        )
    if text not in KINDS:
        raise ConfigError(
            f"unknown cluster {text!r}; expected auto, {', '.join(KINDS)}, a specification file (.yaml), the address "
            "of a scheduler such as tcp://10.0.0.1:8786, or a scheduler file (.json)"
        )
    kind = find_kind(text)
    if required_settings(kind):
        raise ConfigError(
            f"--cluster {text} needs settings of your site: write a specification file with "
            f"`tracin-dask cluster init {text}`, edit it, and give its path"
        )
    return kind()
