"""What a process may use of its machine, counted as Dask counts it."""

from importlib.metadata import metadata

import distributed.system
import pytest
from distributed.diagnostics import nvml

from tracin_dask import resources
from tracin_dask.resources import gpu_count, memory_limit, this_machine


def test_the_memory_is_what_dask_gives_its_workers():
    assert memory_limit() == this_machine().memory_bytes == distributed.system.memory_limit()


@pytest.mark.parametrize(("written", "expected"), [("1073741824\n", 2**30), ("max\n", None), ("-1\n", None)])
def test_a_container_may_limit_the_memory(tmp_path, monkeypatch, written, expected):
    whole = memory_limit()
    limit = tmp_path / "memory.max"
    limit.write_text(written)
    monkeypatch.setattr(resources, "_CONTAINER_LIMITS", (str(tmp_path / "missing"), str(limit)))
    assert memory_limit() == (expected or whole)


def test_gpus_are_counted_by_a_library_that_every_installation_has(monkeypatch):
    required = metadata("tracin-dask").get_all("Requires-Dist")
    assert [one for one in required if one.startswith("nvidia-ml-py") and "extra" not in one]
    monkeypatch.setattr(nvml, "device_get_count", lambda: 3)
    assert gpu_count() == 3
