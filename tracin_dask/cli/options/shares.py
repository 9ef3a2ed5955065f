"""The type of an option that takes a part of something, or a number of it."""

import math
from typing import Any

import click

from tracin_dask.limits import short


class Share(click.ParamType[int | float]):
    """A fraction with a point, from 0 to below 1, as a float; or a whole number, as an integer."""

    name = "fraction|number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:  # noqa: ANN401 - click's signature
        """Parse the text."""
        is_number = str(value).isdecimal()
        try:
            share = int(value) if is_number else float(value)
        except ValueError:
            share = math.nan
        if not (share >= 0 and (is_number or share < 1)):
            self.fail(
                f"{short(value)} is neither a fraction such as 0.1 nor a number of triples such as 500.", param, ctx
            )
        return share
