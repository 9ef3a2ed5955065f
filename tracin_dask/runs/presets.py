"""Presets: named sets of options, their purpose, and their measured worth."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tracin_dask.errors import ConfigError

PLAIN = "tracin"
RECOMMENDED = "retraining"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A named set of options."""

    purpose: str
    """What it is for, in one line."""
    worth: str
    """What it was measured to be worth, in one line."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of a run by their names. Options that the user also gives override them."""


PRESETS: Mapping[str, Preset] = {
    PLAIN: Preset(
        purpose="plain TracIn over all parameters, as other implementations compute it",
        worth="rank correlation with retraining: 0.10 on UMLS, 0.03 on Kinships, 0.12 on CoDEx-S",
    ),
    RECOMMENDED: Preset(
        purpose="which training triples would change the prediction if the model were trained without them",
        worth="rank correlation with retraining: 0.70 on UMLS, 0.50 on Kinships, 0.71 on CoDEx-S",
        options={"curvature": "rows"},
    ),
}
"""By the names that options give."""


def preset_options(name: str) -> Mapping[str, Any]:
    """Give the options of a preset.

    Raises
    ------
    ConfigError
        If there is none of this name.
    """
    if name not in PRESETS:
        meant = difflib.get_close_matches(str(name), PRESETS, 1)
        raise ConfigError(
            f"there is no preset {name!r}; "
            + (f"did you mean {meant[0]}?" if meant else f"the presets are {', '.join(PRESETS)}")
        )
    return PRESETS[name].options
