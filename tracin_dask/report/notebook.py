"""A result as a notebook shows it: small tables of HTML, without colours, scripts or anything from elsewhere."""

from collections.abc import Iterator
from html import escape

import numpy as np

from tracin_dask.report.prediction_words import rank_word
from tracin_dask.report.result import InfluenceResult, RankedTriples
from tracin_dask.report.scale import Scale
from tracin_dask.report.screen import made
from tracin_dask.report.table import asked, meaning
from tracin_dask.report.words import Words
from tracin_dask.visible import visible

SHOWN_ANSWERS = 3
SHOWN_ROWS = 5
_LEFT = ' style="text-align: left"'


def html(result: InfluenceResult) -> str:
    """Show the first answers of a result: the strongest proponents and opponents of each; all text is escaped."""
    return "".join(["<div>", *_parts(result), "</div>"])


def _parts(result: InfluenceResult) -> Iterator[str]:
    yield f"<p><strong>Influence result:</strong> {_text(result.summary)}</p>"
    words, number = Words.of(result.labels), len(result)
    for test_index in range(min(SHOWN_ANSWERS, number)):
        yield from _answer(result, words, test_index)
    if number > SHOWN_ANSWERS:
        yield f"<p>… and {number - SHOWN_ANSWERS:,} more: <code>result[{SHOWN_ANSWERS}]</code> shows the next one.</p>"
    about = made(result) if result.test_triples is None else f"{meaning(result)} {made(result)}"
    yield f"<p><small>{_text(about)}</small></p>"


def _answer(result: InfluenceResult, words: Words, test_index: int) -> Iterator[str]:
    if result.test_triples is None:
        yield _table(result.rankings[0], words, "Training triples of the largest self-influence")
        return
    yield f"<p><strong>{_text(asked(result, test_index))}</strong>{_prediction(result, test_index)}</p>"
    for side in ("proponents", "opponents"):
        if result.run["rank_by"] in ("absolute", side):
            yield _table(result.side(side, test_index), words, side.capitalize())


def _prediction(result: InfluenceResult, test_index: int) -> str:
    """State the score and the rank of the tail of a single test triple, where they are known."""
    predictions = result.predictions
    if predictions is None or result.sets is not None:
        return ""
    ranks = predictions.tail_ranks
    rank = "" if ranks is None else f", rank of the tail {rank_word(ranks, test_index)}"
    score = predictions.score[test_index]
    return f": score {'not finite' if np.isnan(score) else f'{score:+.3g}'}{rank}"


def _table(ranked: RankedTriples, words: Words, title: str) -> str:
    """Show the first training triples of a list."""
    count = f": the first {SHOWN_ROWS} of {len(ranked):,}" if len(ranked) > SHOWN_ROWS else f": {len(ranked):,}"
    scale = Scale.of(ranked.influence[:SHOWN_ROWS].tolist())
    names = (scale.heading("influence"), "head", "relation", "tail", "line")
    header = "".join(f"<th{_LEFT}>{name}</th>" for name in names)
    rows = "".join(_row(ranked, words, place, scale) for place in range(min(SHOWN_ROWS, len(ranked))))
    head = f"<thead><tr>{header}</tr></thead><tbody>{rows}</tbody>" if rows else ""
    return f"<table><caption{_LEFT}>{_text(title)}{count}</caption>{head}</table>"


def _row(ranked: RankedTriples, words: Words, place: int, scale: Scale) -> str:
    called = words.triple(ranked.triples[place].tolist())
    cells = [scale.signed(float(ranked.influence[place])), *called, f"{ranked.train_index[place] + 1}"]
    return f"<tr>{''.join(f'<td{_LEFT}>{_text(cell)}</td>' for cell in cells)}</tr>"


def _text(text: str) -> str:
    return escape(visible(text))
