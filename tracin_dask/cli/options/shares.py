"""The type of an option that takes a part of something, or a number of it."""

from typing import Any

import click

from tracin_dask.limits import short


class Share(click.ParamType[float]):
    """A fraction with a point, from 0 to below 1, as a float; or a whole number, as an integer."""

    name = "fraction|number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - click's signature
        """Parse the text."""
        if isinstance(value, int | float):
            return value
        try:
            share: float = int(value) if value.isdecimal() else float(value)
        except ValueError:
            share = -1.0
        if not 0 <= share or (isinstance(share, float) and share >= 1):
            self.fail(f"{short(value)} is neither a fraction such as 0.1 nor a number of triples such as 500.", param, ctx)
        return share
