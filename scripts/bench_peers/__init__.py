"""Other libraries that compute gradient products, behind one interface; docs/peers.md describes them."""

from collections.abc import Mapping
from types import MappingProxyType

from bench_peers.bergson_fc import Bergson
from bench_peers.captum_all import CaptumTracInCP
from bench_peers.captum_fast import CaptumTracInCPFast
from bench_peers.dattri_products import Dattri
from bench_peers.kronfluence_identity import Kronfluence
from bench_peers.peer import Peer, Scorer
from bench_peers.pydvl_identity import PyDVL
from bench_peers.torch_func import TorchFunc

__all__ = ["PEERS", "Peer", "Scorer"]

PEERS: Mapping[str, Peer] = MappingProxyType(
    {
        "captum": CaptumTracInCP(),
        "captum-fast": CaptumTracInCPFast(),
        "kronfluence": Kronfluence(),
        "pydvl": PyDVL(),
        "dattri": Dattri(),
        "bergson": Bergson(),
        "torch-func": TorchFunc(),
    }
)
"""The peers by the names that the command line and `measure` take."""
