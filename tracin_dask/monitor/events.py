"""The events that a run sends through Dask's scheduler, where `client.get_events(TOPIC)` finds them.

Each is a dictionary with `event` and `run` (an id), and:

- start: `triples`, `tasks`, `resumed_triples`, `test_triples`
- rows: `group` and `task` (their first rows), `rows` that a worker has scored since its last report of this task; Dask
  adds the `worker`
- best: `triples`, the best so far of the first test triples
- end: `outcome`
"""

TOPIC = "tracin-dask"
SCORE_TASK = "score-rows-"
"""What the keys of scoring tasks begin with: ("score-rows-RUN", first row, row after the last)."""
FINISHED = "finished"
PAGE = "tracin"
"""The page's place on the dashboard."""


def progress_topic(run: str) -> str:
    """Name the topic on which the client of one run hears of its progress."""
    return f"{TOPIC}-{run}"
