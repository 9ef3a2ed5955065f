"""Methods of other libraries as explanations of a trained model; docs/peers.md describes them."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from bench_peers.methods import bergson_methods, captum_methods, dattri_methods, kronfluence_methods
from bench_peers.methods.question import LossName, Method, Question

__all__ = ["METHODS", "Method", "Question"]

LOSSES: tuple[LossName, ...] = ("bce", "one-to-all")


def _all() -> Iterator[Method]:
    yield captum_methods.TracInCPFast()
    for loss in LOSSES:
        yield captum_methods.TracInCP(loss=loss)
    for loss in LOSSES:
        yield captum_methods.Arnoldi(loss=loss)
    yield captum_methods.TracInCP(sums_checkpoints=True)
    for strategy in ("identity", "diagonal", "kfac", "ekfac"):
        for loss in LOSSES:
            yield kronfluence_methods.Factors(strategy=strategy, loss=loss)
    for loss in LOSSES:
        yield dattri_methods.Cosine(loss=loss)
    yield dattri_methods.TRAK()
    for hessian in dattri_methods.HESSIANS:
        for loss in LOSSES:
            yield dattri_methods.InfluenceFunction(hessian=hessian, loss=loss)
    for kind in (bergson_methods.Cosine, bergson_methods.TrackStar, bergson_methods.EKFAC):
        for loss in LOSSES:
            yield kind(loss=loss)


METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _all()})
"""The methods by their names."""
