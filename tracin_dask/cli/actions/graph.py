"""Carries out `tracin-dask graph`: reads a graph, looks at it, and prints what was found."""

from collections.abc import Sequence
from dataclasses import asdict, replace

from tracin_dask.cli.actions.graph_tables import graph_tables
from tracin_dask.cli.actions.whole_graph import describes_text, graph_of, reading_of
from tracin_dask.cli.graph import GraphFlags
from tracin_dask.cli.say import say
from tracin_dask.cli.terminal import show
from tracin_dask.places.files import write_json_file
from tracin_dask.triples.preparing.findings import Finding, findings_in
from tracin_dask.triples.preparing.held_out_survey import survey_held_out
from tracin_dask.triples.preparing.survey import Survey, survey_graph, to_json


def show_graph(options: GraphFlags) -> None:
    """Print tables and findings, and write them.

    Raises
    ------
    TracInDaskError
        If a file cannot be used or written.
    """
    if options["json"] is not None:
        options["json"].check_writable()
    graph = graph_of(options, further_file=options["test"] is not None, by_line=False)
    survey = survey_graph(graph)
    if options["test"] is not None:
        found = survey_held_out(options["test"], graph, survey.degrees.of_entity, reading_of(options))
        survey = replace(survey, held_out=found)
    findings = findings_in(survey)
    say(f"{options['train']}: {describes_text(graph)}")
    show(graph_tables(survey, rows=options["top"]))
    if survey.held_out is not None:
        say(f"{survey.held_out.path}: {survey.held_out.triples:,} test triples were compared with the graph")
    say(_in_words(findings))
    if options["json"] is not None:
        _write(options, survey, findings)


def _in_words(findings: Sequence[Finding]) -> str:
    if not findings:
        return "\nNothing was found that will hurt."
    lines = [f"\n{number}. {one.what}.\n   What to do: {one.remedy}." for number, one in enumerate(findings, start=1)]
    return "".join(["\nWhat will hurt", *lines])


def _write(options: GraphFlags, survey: Survey, findings: Sequence[Finding]) -> None:
    assert options["json"] is not None  # noqa: S101 - `show_graph` calls this only with --json
    contents = to_json(survey)
    if survey.held_out is not None:
        contents["test"] = asdict(survey.held_out)
    contents["findings"] = [asdict(finding) for finding in findings]
    write_json_file(options["json"], contents)
    say(f"wrote {options['json']}: all that was found")
