"""Tests of small products on a machine that others may use too."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

# How long one example takes says more about the machine than about the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Use one thread: two that share busy cores wait for each other, up to five times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
