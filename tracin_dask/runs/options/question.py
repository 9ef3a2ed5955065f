"""What is explained: test triples or training triples, their losses or scores, and against which other tails."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from tracin_dask.identity import changes
from tracin_dask.influence.columns import Explain
from tracin_dask.runs.options.refusals import refuse_single, refuse_unknown

Mode = Literal["test", "self"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionOptions:
    """What is explained.

    Attributes
    ----------
    mode
        `test`: influences on test triples. `self`: each training triple's influence on itself.
    explain
        `loss`: influences on the test triples' losses. `score`: on their scores, with the same sign (a positive one is
        for the prediction).
    contrast
        Other tails, ids or labels, one for each test triple or one for all: influences are on the loss (or score) of
        the test triple less that of the triple with the other tail.
    together
        True: influences are on the mean over all test triples, one answer for all. Or a name for each test triple, of
        the set that it belongs to: one answer for each set.
    """

    mode: Mode = field(default="test", metadata=changes("scores", through="test_triples"))
    explain: Explain = field(default="loss", metadata=changes("scores"))
    contrast: tuple[int | str, ...] = field(default=(), metadata=changes("scores", through="test_triples"))
    together: bool | tuple[str, ...] = field(default=False, metadata=changes("scores", through="test_triples"))

    def __post_init__(self) -> None:
        """Refuse words that are not known.

        Raises
        ------
        ConfigError
            Naming the option, its value and what is allowed.
        """
        refuse_single(contrast=self.contrast)
        refuse_unknown("mode", self.mode, get_args(Mode))
        refuse_unknown("explain", self.explain, get_args(Explain))
