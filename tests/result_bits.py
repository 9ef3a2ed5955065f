"""All that a result holds, to the last bit."""

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pyarrow as pa


def result_bits(value: Any) -> Any:
    """Turn a result, or a part of one, into what can be compared: arrays to the last bit and with their types."""
    if is_dataclass(value):
        return {part.name: result_bits(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, pa.Array):
        return str(value.type), value.to_pylist()
    if isinstance(value, tuple):
        return tuple(map(result_bits, value))
    return value
