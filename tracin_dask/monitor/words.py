"""What the page says, as HTML: where a run is, its strongest training triples, failures. All text is escaped."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from tracin_dask.monitor.pace import clock_time, left_words
from tracin_dask.monitor.state import RUNNING, BestLists, BestTriple, Figures
from tracin_dask.visible import visible

CELL_LETTERS = 64
"""Longer names in the table are shortened in their middle."""
OPTION_LETTERS = 110
STYLE = """
.bk-clearfix { width: 100%; }
h2 { margin: 8px 0; } h3 { margin: 16px 0 4px; } p { margin: 4px 0; }
h2, p, li, td { overflow-wrap: anywhere; }
progress { width: 100%; height: 14px; accent-color: #2b6c8f; }
table { width: 100%; table-layout: fixed; border-collapse: collapse; }
th, td { padding: 3px 8px; text-align: left; vertical-align: top; }
th { border-bottom: 1px solid #888; }
tr:nth-child(even) td { background: #eee; }
.rank, .influence { text-align: right; white-space: nowrap; overflow-wrap: normal; }
.rank { width: 36px; } .influence { width: 96px; }
.relation { width: 22%; }
"""


def no_run(address: str) -> str:
    """Explain the page before the first run."""
    return (
        "<h2>No run yet</h2><p>This page shows a TracIn run on this scheduler: its progress, its workers, and the "
        "most influential training triples so far. Start a run with</p>"
        f"<pre>tracin-dask run ... --cluster {_safe(address)}</pre><p>The page follows by itself.</p>"
    )


def headline(now: Figures) -> str:
    """Say which run this is, how far it is, and how long it still takes."""
    share, running = now.triples_done / now.num_triples, now.outcome == RUNNING
    speed = f"{now.triples_per_second:,.0f} triples/s"
    ends = f"<b>{left_words(now.seconds_left)}</b>" if running else ""
    parts = [
        f"<b>{now.triples_done:,}</b> of {now.num_triples:,} training triples ({share:.1%})",
        speed if running else f"{speed} on average",
        f"{clock_time(now.seconds)} so far" if running else f"took {clock_time(now.seconds)}",
        *([ends] if ends else []),
    ]
    tasks = (
        f"<b>{now.tasks_done:,}</b> of {now.num_tasks:,} tasks, {now.tasks_failed:,} failed, "
        f"{now.tasks_retried:,} retried, {now.workers_lost:,} worker(s) lost"
    )
    bar = f'<progress max="{now.num_triples}" value="{now.triples_done}" aria-label="training triples done"></progress>'
    return f"<h2>TracIn run {_safe(now.run)}: {_safe(now.outcome)}</h2>{bar}<p>{', '.join(parts)}</p><p>{tasks}</p>"


def best_title(lists: BestLists, *, running: bool) -> str:
    """Say what the table shows, and of how many test triples there is one."""
    so_far, shown = " so far" if running else "", len(lists.lists)
    if not lists.word:
        return f"<h3>Training triples with the largest self-influence{so_far}</h3>"
    some = ""
    if shown < lists.total:
        some = f"<p>The first {shown:,} of {lists.total:,} {lists.word}s; the result has all.</p>"
    return f"<h3>Most influential training triples{so_far}</h3>{some}"


def best_table(test: str, triples: Sequence[BestTriple]) -> str:
    """Show the strongest training triples of a test triple, whose whole name stands above."""
    if not triples:
        return "<p>None yet.</p>" + (f"<p>{_safe(test)}</p>" if test else "")
    names = ("rank", "influence", "head", "relation", "tail")
    head = "".join(f'<th class="{name}">{name}</th>' for name in names)
    rows = "".join(
        f'<tr><td class="rank">{one.rank}</td><td class="influence">{one.influence:#.4g}</td>'
        f"{_cell(one.head)}{_cell(one.relation)}{_cell(one.tail)}</tr>"
        for one in triples
    )
    title = f"<p><b>{_safe(test)}</b></p>" if test else ""
    return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def failures(now: Figures) -> str:
    """List the most recent failures."""
    if not now.failures:
        return ""
    lines = [
        f"<li>{datetime.fromtimestamp(failure.time, UTC):%H:%M:%S} UTC {_safe(failure.worker)}: "
        f"{_safe(failure.message)}</li>"
        for failure in now.failures
    ]
    return f"<h3>Failures</h3><ul>{''.join(lines)}</ul>"


def options(lists: BestLists) -> list[tuple[str, str]]:
    """Name the test triples to choose from, by their places."""
    return [
        (str(place), f"{place + 1}. {shortened(visible(one.test), OPTION_LETTERS)}")
        for place, one in enumerate(lists.lists)
    ]


def shortened(text: str, most: int) -> str:
    """Leave out the middle of a long text: names of one kind often differ at the end."""
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[-end:]}"


def _cell(name: str) -> str:
    """Show a name; a pointer over it shows it whole."""
    return f'<td title="{_safe(name)}">{escape(shortened(visible(name), CELL_LETTERS))}</td>'


def _safe(text: str) -> str:
    """Make text of unknown origin safe in a page."""
    return escape(visible(text))
