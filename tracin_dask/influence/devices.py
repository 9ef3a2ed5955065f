"""What the host has to know of the device that it gives work."""

import torch


def computes_ahead(device: torch.device) -> bool:
    """Tell whether the host goes on before its work is done: then it waits wherever it reads a value of a tensor."""
    return device.type != "cpu"
