"""Saved scores whose files are damaged are refused in one message."""

import pytest
from small_graph import MakeJob

from tracin_dask.errors import TracInDaskError


@pytest.mark.parametrize("name", ["zarr.json", "influence/zarr.json"])
def test_damaged_metadata_of_scores_is_one_message(make_job: MakeJob, tmp_path, name):
    path = tmp_path / "scores.zarr"
    make_job(save_scores=path).carry_out()
    file = path / name
    whole = file.read_bytes()
    for damaged in (
        b"",
        b"[]",
        b"{}",
        whole[:-20],
        whole.replace(b"float32", b"float3x"),
        whole.replace(b"chunk", b"chunx"),
    ):
        file.write_bytes(damaged)
        with pytest.raises(TracInDaskError, match=r"scores\.zarr"):
            make_job(save_scores=path).carry_out()
