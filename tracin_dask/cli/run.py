"""`tracin-dask run`: finds the most influential training triples."""

from typing import Unpack

import click

from tracin_dask.cli.options.run import RUN_OPTIONS, RunFlags
from tracin_dask.cli.options.sections import SectionedCommand, with_options


@click.command(cls=SectionedCommand, no_args_is_help=True)
@with_options(*RUN_OPTIONS)
def command(**options: Unpack[RunFlags]) -> None:
    """Find the training triples that made the model predict a test triple, exactly and among all of them.

    The influence of a training triple on a test triple is learning rate × ⟨gradient of its loss, gradient of the test
    triple's loss⟩ (TracIn), over all parameters including embeddings, summed over the checkpoints. Positive: it speaks
    for the prediction.

    Give the same command again to continue an interrupted run, or to see its result. With more test triples in the
    file of --test, only the new ones are scored.

    \b
    Examples:
      tracin-dask run --model-path model.pt --train graph.zarr \\
          --test-triple aspirin treats headache --output why.json
      tracin-dask run --model-path model.pt --train train.txt \\
          --entity-to-id node_dict.txt --relation-to-id rel_dict.txt \\
          --test test.txt --top-k 100 --output-dir why/
      tracin-dask run --model-path model.pt --train graph.zarr \\
          --mode self --output surprising.json
      tracin-dask run --model-path state.pt --model-description model.json \\
          --train graph.zarr --test test.txt --output-dir why/  # not a ConvE
      tracin-dask run --model-path model.pt --train graph.zarr \\
          --test test.txt --output-dir why/ \\
          --parameters 'fc.*' 'bn2.*'     # some tensors only
      tracin-dask run --model-path model/checkpoints/ --train graph.zarr \\
          --test test.txt --output-dir why/  # all checkpoints of a training
      tracin-dask run --model-path model.pt --train graph.zarr \\
          --test test.txt --output-dir why/ \\
          --group-by relation --group-by sources.tsv.gz
      tracin-dask run --model-path model.pt --train graph.zarr \\
          --test test.txt --output-dir why/ \\
          --cluster slurm.yaml            # or tcp://10.0.0.1:8786
    """
    from tracin_dask.cli.actions.run import explain  # noqa: PLC0415 - torch is slow to import

    explain(options)
