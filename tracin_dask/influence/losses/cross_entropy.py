"""Binary cross-entropy with logits whose derivative keeps its digits, however sure a score is."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid


def binary_cross_entropy(scores: Float[Tensor, "*shape"], labels: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Compute −y log σ(s) − (1 − y) log σ(−s).

    Autograd differentiates both parts: −y σ(−s) + (1 − y) σ(s). PyTorch's own function has σ(s) − y, which is exactly 0
    in float32 for the label 1 from a score of 17 on.
    """
    return -(labels * logsigmoid(scores) + (1 - labels) * logsigmoid(-scores))
