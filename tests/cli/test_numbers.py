"""Every option that takes a number refuses absurd ones in one short message, before any work."""

import click
import pytest

from tracin_dask.cli.main import COMMANDS, group
from tracin_dask.cli.options.numbers import RealNumber, WholeNumber
from tracin_dask.cli.options.values import BatchSize, ByteSize

OWN = (WholeNumber, RealNumber, BatchSize, ByteSize)
CLICKS = (click.types.IntParamType, click.types.FloatParamType)
ABSURD = ["-1", "nan", "inf", "-inf", "1e400", "many", "", "9" * 5000, "-" + "9" * 5000]
ABSURD_BUT_FINITE = ["1" + "0" * 30, "1e400GB", "0.5"]
"""Too many for what is counted."""


def options_of(types):
    """Name the options of all commands whose values are of these types."""
    found = []
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        commands = command.commands.items() if isinstance(command, click.Group) else [("", command)]
        for below, one in commands:
            found += [((name, below), option) for option in one.params if isinstance(option.type, types)]
    return [
        pytest.param(words, option.opts[0], option.type, id=" ".join(filter(None, (*words, option.opts[0]))))
        for words, option in found
    ]


def test_no_option_takes_any_number():
    assert options_of(CLICKS) == []
    assert len(options_of(OWN)) > 30


@pytest.mark.fault("absurd numbers, for every option of every command", promised="one message, before any work")
@pytest.mark.parametrize(("words", "option", "kind"), options_of(OWN))
def test_absurd_numbers_are_refused_in_one_message(tool, words, option, kind):
    counted = [] if isinstance(kind, RealNumber) else ABSURD_BUT_FINITE
    if isinstance(kind, ByteSize):
        counted = counted[:2]
    for value in [*ABSURD, *counted]:
        result = tool(*filter(None, words), f"{option}={value}")
        assert result.exit_code == 2, (value, result.output)
        assert f"Error: Invalid value for '{option}'" in result.output.replace("' / '-o", ""), result.output
        assert len(result.output) < 400


def test_numbers_at_the_limits_are_taken():
    assert WholeNumber(2, 5).convert("5", None, None) == 5
    assert RealNumber(below=1.0).convert("0", None, None) == 0
    assert RealNumber(above=0.0).convert("1e-30", None, None) == 1e-30
    with pytest.raises(click.BadParameter, match=r"'0' is not a finite number above 0\."):
        RealNumber(above=0.0).convert("0", None, None)
    with pytest.raises(click.BadParameter, match=r"'1' is not a number from 0 on and below 1\."):
        RealNumber(below=1.0).convert("1", None, None)
    with pytest.raises(click.BadParameter, match=r"'6' is not a whole number from 2 to 5\."):
        WholeNumber(2, 5).convert("6", None, None)
