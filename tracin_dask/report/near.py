"""Texts that an unknown one may have been meant for."""

import difflib
from collections.abc import Sequence

_MOST = 3


def near_texts(given: str, known: Sequence[str]) -> list[str]:
    """Suggest up to three texts: those with the same part behind their last colon, then those that are alike."""
    end = given.rpartition(":")[2]
    same_end = [text for text in known if end and text.rpartition(":")[2] == end]
    by_lower = {text.lower(): text for text in known}
    alike = [by_lower[text] for text in difflib.get_close_matches(given.lower(), by_lower, n=_MOST)]
    return list(dict.fromkeys([*same_end, *alike]))[:_MOST]
