"""The command line in this process: only its options are known here, so that the code below it can change."""

import io
import runpy
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

import torch


class CommandError(Exception):
    """The command failed; the message is what it printed."""


def tracin_dask(*words: str) -> None:
    """Run `python -m tracin_dask` with these words on one thread, without its output.

    Raises
    ------
    CommandError
        If it does not succeed.
    """
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed), mock.patch.object(sys, "argv", ["tracin-dask", *words]):
        try:
            runpy.run_module("tracin_dask", run_name="__main__")
        except SystemExit as stop:
            if stop.code:
                raise CommandError(printed.getvalue().strip()) from stop
        except Exception as error:
            raise CommandError(traceback.format_exc()) from error
