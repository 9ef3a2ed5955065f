"""`tracin-dask run`: training triples, test triples and the result."""

import json
from pathlib import Path

import numpy as np
import pytest

from tracin_dask.errors import ConfigError, TriplesError
from tracin_dask.triples import ingest as ingest_module
from tracin_dask.triples.ingest import ingest
from tracin_dask.triples.store import open_store


@pytest.fixture(scope="session")
def graph(project):
    """The project's training file as a store."""
    maps = {"entity_to_id": project.folder / "node_dict.txt", "relation_to_id": project.folder / "rel_dict.txt"}
    ingest(project.folder / "train.txt", project.folder / "graph.zarr", **maps)
    return project.folder / "graph.zarr"


def influences(contents):
    return [(entry["train_index"], entry["influence"]) for entry in contents["influences"]]


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class TestTrainingTriples:
    def test_a_training_file_is_ingested_once_per_content(self, project, tool, tmp_path, monkeypatch):
        ingested = []

        def counting(train, *arguments, **options):
            ingested.append(Path(train).name)
            return fill(train, *arguments, **options)

        fill = ingest_module._ingest
        monkeypatch.setattr(ingest_module, "_ingest", counting)
        train = tmp_path / "mine.txt"
        text = (project.folder / "train.txt").read_text()
        words = ["--train", train, "--cache-dir", tmp_path / "cache", "--test-triple", *project.test_ids]
        for content in (text, text, text.replace("CHEBI:7\t", "CHEBI:14\t", 1), text):
            train.write_text(content)
            tool("run", *project.options(), *words, "--output", tmp_path / "a.json")
        assert ingested == ["mine.txt", "mine.txt"]
        assert len(list((tmp_path / "cache").glob("mine-*.zarr"))) == 2

    def test_stores_are_cached_in_the_users_cache_folder(self, project, tool, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        files = ["--model-path", project.folder / "model.pt", "--train", project.folder / "train.txt", *project.maps()]
        result = tool("run", *files, "--test-triple", *project.test_ids, "--output", tmp_path / "a.json")
        (store,) = (tmp_path / "xdg" / "tracin-dask").glob("train-*.zarr")
        assert f"training triples: 600 from {project.folder}/train.txt, stored as {store}" in result.stderr
        assert "ids without a map" not in result.stderr

    def test_a_run_without_maps_prints_that_ids_follow_the_order_of_labels(self, project, tool, tmp_path):
        files = ["--model-path", project.folder / "model.pt", "--train", project.folder / "train.txt"]
        words = ["--test-triple", *project.test_ids, "--output", tmp_path / "a.json", "--cache-dir", tmp_path / "cache"]
        result = tool("run", *files, *project.maps()[:2], *words)
        assert "without an id map, ids follow the order of the labels" in result.stderr

    def test_a_store_is_used_directly_as_training_set(self, project, tool, tmp_path, graph, explain):
        files = ["--model-path", project.folder / "model.pt", "--train", graph, "--threads-per-worker", 1]
        output = tmp_path / "store.json"
        tool("run", *files, "--test-triple", *project.test_ids, "--output", output, "--cache-dir", tmp_path / "cache")
        assert not (tmp_path / "cache").exists()
        contents = json.loads(output.read_text())
        assert contents["run"]["store"]["path"] == str(graph)
        assert contents["run"]["store"]["fingerprint"] == open_store(graph).info.fingerprint
        assert influences(contents) == influences(explain())

    def test_id_maps_that_differ_from_the_store_are_refused(self, explain, graph, tmp_path):
        other = tmp_path / "other.txt"
        other.write_text("CHEBI:0\t0\nCHEBI:7\t1\n")
        with pytest.raises(
            ConfigError, match=r"other labels or ids \(for 40 entities and 4 relations\) .* \(for 2 and 4\); ingest"
        ):
            explain("--train", graph, "--entity-to-id", other)

    def test_options_for_text_files_are_refused_with_a_store(self, explain, graph, project):
        with pytest.raises(ConfigError, match=r"--entity-names, --skip-invalid: only for a text file, but .* is a st"):
            explain("--train", graph, "--skip-invalid", "--entity-names", project.folder / "node_name_dict.txt")

    def test_invalid_training_lines_stop_the_run_or_are_skipped_and_counted(self, explain, project, tmp_path):
        train = tmp_path / "train.txt"
        train.write_text((project.folder / "train.txt").read_text() + "CHEBI:0\tpredicate:0\n")
        with pytest.raises(TriplesError, match=r"train\.txt, line 601: wrong number of columns"):
            explain("--train", train)
        contents = explain("--train", train, "--skip-invalid")
        assert contents["run"]["store"]["skipped_lines"] == {"wrong number of columns": 1}

    def test_readable_names_are_in_the_result(self, explain, project):
        names = [
            "--entity-names",
            project.folder / "node_name_dict.txt",
            "--edge-map",
            project.folder / "edge_map.json",
        ]
        triple = [project.test_ids[0], "0", project.test_ids[2]]
        test = explain(*names, triple=triple)["test_triple"]
        assert test["head_name"] == f"drug, no. {triple[0]} [α]"
        assert "treats" in test["relation_name"]


class TestTestTriples:
    def test_a_test_triple_may_be_given_as_ids_or_labels(self, project, explain):
        by_ids, by_labels = explain(), explain(triple=project.test_labels)
        assert by_ids["test_triple"] == by_labels["test_triple"]
        assert influences(by_ids) == influences(by_labels)

    def test_integers_are_labels_with_the_labels_option(self, project, tool, tmp_path):
        swapped = {"node_dict.txt": "CHEBI:", "rel_dict.txt": "predicate:", "train.txt": "CHEBI:"}
        for name, prefix in swapped.items():
            text = (project.folder / name).read_text()
            (tmp_path / name).write_text(text.replace(prefix, "").replace("predicate:", ""))
        words = ["--model-path", project.folder / "model.pt", "--train", tmp_path / "train.txt", "--labels"]
        words += ["--map-columns", "label,id"]
        words += ["--entity-to-id", tmp_path / "node_dict.txt", "--relation-to-id", tmp_path / "rel_dict.txt"]
        bare = [label.split(":")[1] for label in project.test_labels]
        output = tmp_path / "a.json"
        tool("run", *words, "--cache-dir", tmp_path, "--test-triple", *bare, "--output", output)
        test = json.loads(output.read_text())["test_triple"]
        assert [str(test[role]) for role in ("head", "relation", "tail")] == project.test_ids
        assert [test[f"{role}_label"] for role in ("head", "relation", "tail")] == bare

    @pytest.mark.parametrize("separator", ["\t", " ", "   "])
    @pytest.mark.parametrize("kind", ["test_ids", "test_labels"])
    def test_a_file_of_test_triples_may_use_ids_or_labels_and_tabs_or_spaces(
        self, project, tool, tmp_path, separator, kind
    ):
        file = tmp_path / "test.txt"
        file.write_text(separator.join(getattr(project, kind)))
        tool("run", *project.options(), "--test", file, "--output", tmp_path / "a.json")
        test = json.loads((tmp_path / "a.json").read_text())["test_triple"]
        assert [str(test[role]) for role in ("head", "relation", "tail")] == project.test_ids

    def test_a_malformed_line_of_test_triples_is_named(self, project, tool, tmp_path):
        file = tmp_path / "test.txt"
        file.write_text("1 2 3\n1 2\n")
        with pytest.raises(TriplesError, match=r"(?s)test\.txt, line 2: wrong number of columns: '1 2'"):
            tool("run", *project.options(), "--test", file, "--output-dir", tmp_path / "out")

    def test_an_unknown_label_in_a_test_triple_is_named(self, explain):
        with pytest.raises(ConfigError, match=r"the tail CHEBI:1 is not among the 40 that .*zarr knows"):
            explain(triple=("CHEBI:0", "predicate:0", "CHEBI:1"))

    def test_an_id_out_of_range_in_a_test_triple_is_named(self, explain):
        with pytest.raises(ConfigError, match="the relation 4 is not among the 4 that"):
            explain(triple=(0, 4, 1))


class TestResult:
    def test_the_json_has_the_keys_of_the_existing_tool(self, explain, project):
        contents = explain("--top-k", 3)
        assert list(contents) == [
            "test_triple",
            "prediction",
            "top_k",
            "learning_rate",
            "influences",
            "further_influences",
            "run",
        ]
        ids, names = map(int, project.test_ids), project.test_labels
        expected = dict(zip(("head", "relation", "tail"), ids, strict=True))
        expected |= dict(zip(("head_label", "relation_label", "tail_label"), names, strict=True))
        assert contents["test_triple"] == expected
        assert (contents["top_k"], contents["learning_rate"]) == (3, 0.01)
        roles = [f"train_{role}{end}" for role in ("head", "relation", "tail") for end in ("", "_label")]
        assert list(contents["influences"][0]) == [*roles, "influence", "train_index"]
        run = contents["run"]
        assert (run["schema_version"], run["loss"], run["mode"], run["precision"]) == (4, "bce", "test", "float32")
        assert (run["num_training_triples"], run["num_test_triples"]) == (600, 1)
        assert len(run["parameters"]) == 12
        assert len(run["checkpoints"][0]["sha256"]) == 64

    def test_train_index_is_the_line_of_the_training_file(self, explain, project):
        for entry in explain("--top-k", 600)["influences"]:
            line = project.lines[entry["train_index"]].tolist()
            assert [entry[f"train_{role}"] for role in ("head", "relation", "tail")] == line

    def test_influences_are_ordered_by_size_and_ties_by_train_index(self, explain):
        found = influences(explain("--top-k", 600))
        sizes = [abs(influence) for _, influence in found]
        assert len(found) == 600
        assert sizes == sorted(sizes, reverse=True)
        places = [index for index, _ in found]
        assert places.index(5) == places.index(7) - 1  # lines 6 and 8 are one triple

    @pytest.mark.parametrize(("side", "sign"), [("proponents", 1), ("opponents", -1)])
    def test_rank_by_reports_one_side(self, explain, side, sign):
        values = [sign * influence for _, influence in influences(explain("--rank-by", side, "--top-k", 20))]
        everything = [sign * influence for _, influence in influences(explain("--top-k", 600))]
        assert values == sorted(everything, reverse=True)[:20]
        assert values[-1] > 0

    def test_output_dir_gets_one_file_per_test_triple_and_a_summary(self, project, tool, tmp_path, explain):
        file, output = tmp_path / "test.txt", tmp_path / "out"
        file.write_text("\n".join(" ".join(map(str, triple)) for triple in project.lines[3:6]))
        text = tool("run", *project.options(), "--test", file, "--output-dir", output, "--top-k", 4).stdout
        names = [f"triple_{'_'.join(map(str, triple))}.json" for triple in project.lines[3:6]]
        assert files_below(output) == sorted([*names, "summary.json"])
        assert not (output / ".progress").exists()
        summary = json.loads((output / "summary.json").read_text())
        assert [entry["file"] for entry in summary["results"]] == names
        assert (summary["num_results"], summary["top_k"], summary["run"]["num_test_triples"]) == (3, 4, 3)
        one, same = json.loads((output / names[2]).read_text()), explain("--top-k", 4)
        assert [index for index, _ in influences(one)] == [index for index, _ in influences(same)]
        np.testing.assert_allclose(*([i for _, i in influences(c)] for c in (one, same)), rtol=1e-4)
        assert f"scored 600 training triples against 3 test triples in {summary['run']['seconds']:.1f} s" in text

    def test_the_json_of_self_influence_has_its_own_keys(self, project, tool, tmp_path):
        for place in (["--output", tmp_path / "self.json"], ["--output-dir", tmp_path / "out"]):
            text = tool("run", *project.options(), "--mode", "self", *place).stdout
            assert "Training triples of the largest self-influence" in text
        contents = json.loads((tmp_path / "self.json").read_text())
        assert list(contents) == ["mode", "top_k", "learning_rate", "self_influences", "run"]
        values = [entry["self_influence"] for entry in contents["self_influences"]]
        assert values == sorted(values, reverse=True)
        assert values[-1] > 0
        assert files_below(tmp_path / "out") == ["self_influence.json", "summary.json"]
        in_folder = json.loads((tmp_path / "out" / "self_influence.json").read_text())
        assert in_folder["self_influences"] == contents["self_influences"]

    def test_the_screen_shows_only_the_ranked_side(self, project, tool, tmp_path):
        words = ["--test-triple", *project.test_ids, "--rank-by", "opponents", "--output", tmp_path / "a.json"]
        result = tool("run", *project.options(), *words)
        assert "Opponents of" in result.stdout
        assert "Proponents of" not in result.stdout
        assert "the 10 strongest opponents" in result.stdout

    def test_the_screen_says_that_a_side_is_empty(self, project, tool, tmp_path):
        words = ["--mode", "self", "--rank-by", "opponents", "--output", tmp_path / "a.json"]
        result = tool("run", *project.options(), *words)
        assert "a.json: an empty list: no influence has this sign" in result.stdout
        assert json.loads((tmp_path / "a.json").read_text())["self_influences"] == []

    def test_test_triple_may_be_repeated(self, project, tool, tmp_path):
        words = ["--test-triple", 1, 2, 3, "--test-triple", 3, 2, 1, "--output-dir", tmp_path / "why"]
        tool("run", *project.options(), *words)
        assert {path.name for path in (tmp_path / "why").glob("triple_*")} == {"triple_1_2_3.json", "triple_3_2_1.json"}

    def test_a_run_ends_with_a_table_and_the_path_of_the_result(self, project, tool, tmp_path):
        output = tmp_path / "deep" / "er" / "influence.json"
        result = tool("run", *project.options(), "--test-triple", *project.test_ids, "--output", output)
        assert f"Proponents of {' — '.join(project.test_labels)}" in result.stdout
        assert f"wrote {output}: the 10 training triples with the largest |influence|; --rank-by" in result.stdout
        assert "running in this process (a small job): 1 task(s)" in result.stderr
        assert "scored 600 of 600 training triples" in result.stderr
        assert [path.name for path in output.parent.iterdir()] == ["influence.json"]  # no record is left
