"""Arrays of a Zarr group, found by their names."""

from typing import Any

import zarr


def find_array(group: zarr.Group, *names: str) -> zarr.Array[Any] | None:
    """Return the first of these arrays that the group holds; None if it holds none."""
    found = (group.get(name) for name in names)
    return next((array for array in found if isinstance(array, zarr.Array)), None)
