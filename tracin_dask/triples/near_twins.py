"""Labels that look alike: they differ only by blanks, invisible characters or the Unicode form of their letters."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracin_dask.triples.idmap import IdMap

_OTHER = r"^ | $|  |[^ -~]"
"""What a label has that may not be its own normal form; most labels have none of it, and are not looked at further."""
_INVISIBLE = r"\p{Cf}"
_BLANKS = r"[\s\x0b\x{85}\p{Z}]+"


@dataclass(frozen=True, slots=True, kw_only=True)
class NearTwins:
    """The labels of a map that look like another one, and the first two that look alike."""

    number: int
    example: tuple[str, str]

    def __str__(self) -> str:
        """Count them, and show the example with its invisible characters escaped."""
        first, second = self.example
        return (
            f"{self.number:,} labels differ from another one only by blanks, invisible characters or Unicode form, "
            f"e.g. {first!a} and {second!a}"
        )


def normal_forms(labels: pa.StringArray) -> pa.StringArray:
    """Compose letters with their accents (NFC), and write all blanks between words as one space."""
    is_other = pc.match_substring_regex(labels, _OTHER)
    visible = pc.replace_substring_regex(pc.utf8_normalize(labels.filter(is_other), form="NFC"), _INVISIBLE, "")
    trimmed = pc.utf8_trim(pc.replace_substring_regex(visible, _BLANKS, " "), " ")
    forms: pa.StringArray = pc.replace_with_mask(labels, is_other, trimmed)
    return forms


def near_twins(id_map: IdMap) -> NearTwins | None:
    """Find the labels that look alike; None if there are none."""
    forms = normal_forms(id_map.labels)
    if pc.all(pc.equal(forms, id_map.labels)).as_py():
        return None  # the labels are their own normal forms, and no label is there twice
    encoded = forms.dictionary_encode().indices.to_numpy()
    is_shared = np.bincount(encoded)[encoded] > 1
    if not is_shared.any():
        return None
    first = int(np.argmax(is_shared))
    second = int(np.flatnonzero(encoded == encoded[first])[1])
    return NearTwins(number=int(is_shared.sum()), example=(id_map.label(first), id_map.label(second)))


def twins_of(label: str, id_map: IdMap) -> list[str]:
    """Find the labels of a map that look like a label that it does not have."""
    form = normal_forms(pa.array([label], pa.string()))[0]
    found: list[str] = id_map.labels.filter(pc.equal(normal_forms(id_map.labels), form)).to_pylist()
    return found
