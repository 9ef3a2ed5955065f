"""The command: measures the peers on FB15k-237, or a random graph of its size, and prints a table.

From the project's folder: PYTHONPATH=scripts python -P -m bench_peers --help
"""

import argparse
import json
import os
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from bench_peers import PEERS
from bench_peers.environments import interpreter
from bench_peers.measure import Measured, installed, measure
from bench_peers.process import PeerError
from bench_peers.timing import Timing
from tracin_dask.models.conve.model import ConvE, ConvEConfig

NUM_ENTITIES, NUM_RELATIONS, NUM_TRIPLES = 14_541, 237, 272_115


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is installed; 1 if a peer failed."""
    options = _parser().parse_args(arguments)
    timing = Timing(
        threads=options.threads, seconds=options.seconds, repeats=options.repeats, timeout_seconds=options.timeout
    )
    print(f"{'peer':<20} {'version':<10} {'tests':>5} {'triples/s':>24} {'rows':>7} {'prepared in':>11} {'peak':>9}")
    found, failed = [], False
    for result in _results(options, timing):
        if isinstance(result, Measured):
            found.append(result)
            print(_line(result), flush=True)
        else:
            failed = True
            print(f"Error: {result}", file=sys.stderr)
    if options.json:
        figures = [asdict(measured) for measured in found]
        options.json.write_text(json.dumps({"timing": asdict(timing), "figures": figures}, indent=2))
    return int(failed)


def _results(options: argparse.Namespace, timing: Timing) -> Iterator[Measured | PeerError]:
    model, triples = _model(), _triples()
    try:
        versions = installed()
    except PeerError as error:
        yield error
        return
    for peer in options.peers:
        if versions[peer] is None:
            python = interpreter(PEERS[peer].requirement)
            yield PeerError(f"{PEERS[peer].name} is not installed in {python}: see docs/peers.md")
            continue
        for num_tests in options.tests:
            test = triples[np.random.default_rng(num_tests).choice(len(triples), num_tests, replace=False)]
            try:
                yield measure(peer, model, train=triples, test=test, timing=timing)
            except PeerError as error:
                yield error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench_peers", description=__doc__)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="what to measure; default: all")
    parser.add_argument("--tests", type=int, nargs="+", default=[1, 16, 256], help="numbers of test triples")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    parser.add_argument("--seconds", type=float, default=5.0, help="what one run should take (default: 5)")
    parser.add_argument("--repeats", type=int, default=3, help="runs; medians are reported (default: 3)")
    parser.add_argument("--timeout", type=float, default=600.0, help="most seconds per peer and number of test triples")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    return parser


def _model() -> ConvE:
    torch.manual_seed(0)
    model = ConvE(ConvEConfig(num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS))
    model.initialize()
    return model.eval()


def _triples() -> Int[Tensor, "rows 3"]:
    """Read FB15k-237's training triples, labels numbered in their order as text, or draw as many at random."""
    folder = os.environ.get("TRACIN_DASK_DATA")
    if not folder:
        random = np.random.default_rng(0)
        sizes = (NUM_ENTITIES, NUM_RELATIONS, NUM_ENTITIES)
        return torch.from_numpy(np.stack([random.integers(0, size, NUM_TRIPLES) for size in sizes], axis=1))
    with tarfile.open(Path(folder) / "FB15k-237.tar.gz") as archive:
        name = next(name for name in archive.getnames() if Path(name).name == "train.txt")
        lines = archive.extractfile(name).read().decode().splitlines()
    labels = np.array([line.split("\t") for line in lines])
    _, entities = np.unique(labels[:, [0, 2]], return_inverse=True)
    _, relations = np.unique(labels[:, 1], return_inverse=True)
    heads, tails = entities.reshape(-1, 2).T
    return torch.from_numpy(np.stack([heads, relations, tails], axis=1))


def _line(measured: Measured) -> str:
    speeds = (measured.rows_per_second, measured.rows_per_second_min, measured.rows_per_second_max)
    median, low, high = (f"{speed:,.0f}" if speed >= 100 else f"{speed:.1f}" for speed in speeds)
    return (
        f"{PEERS[measured.peer].name:<20} {measured.version:<10} {measured.num_tests:>5} "
        f"{f'{median} ({low}-{high})':>24} {measured.rows:>7,} {measured.prepare_seconds:>9.1f} s "
        f"{measured.peak_bytes / 2**20:>5,.0f} MiB"
    )


if __name__ == "__main__":
    sys.exit(main())
