"""What of the known explanations nothing matches: counted by kind, with a few examples."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tracin_dask.visible import visible

EXAMPLES = 3


@dataclass(slots=True, kw_only=True)
class Unmatched:
    """Collects texts by kind, each once."""

    what: str
    """Whose labels were looked up."""
    _labels: dict[str, dict[str, bool]] = field(default_factory=dict)
    _triples: dict[str, dict[str, bool]] = field(default_factory=dict)

    def labels(self, kind: str, texts: Iterable[str], known: Collection[str]) -> None:
        """Count labels of a kind."""
        for text in texts:
            self._labels.setdefault(kind, {})[text] = text in known

    def triple(self, kind: str, triple: Sequence[str], *, is_known: bool) -> None:
        """Count a triple of a kind; it is known if all its labels are."""
        self._triples.setdefault(kind, {})[" ".join(triple)] = is_known

    def to_dict(self) -> dict[str, dict[str, object]]:
        """Give the counts and examples of each kind."""
        return {
            kind: {"stated": len(texts), "unmatched": len(_missing(texts)), "examples": _missing(texts)[:EXAMPLES]}
            for kind, texts in (self._labels | self._triples).items()
        }

    def lines(self) -> list[str]:
        """Say it in a line for each kind that has unmatched texts."""
        said = [self._line(kind, texts, "are no label of") for kind, texts in self._labels.items() if _missing(texts)]
        verb = "have a part that is no label of"
        return said + [self._line(kind, texts, verb) for kind, texts in self._triples.items() if _missing(texts)]

    def _line(self, kind: str, texts: Mapping[str, bool], verb: str) -> str:
        missing = _missing(texts)
        shown = ", ".join(visible(text)[:60] for text in missing[:EXAMPLES])
        return f"{len(missing):,} of {len(texts):,} {kind} {verb} {self.what}, e.g. {shown}"


def _missing(texts: Mapping[str, bool]) -> list[str]:
    return [text for text, is_known in texts.items() if not is_known]
