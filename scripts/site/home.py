"""Pages of the site that lie elsewhere: its home is the README, its list of tasks docs/README.md, and the changelog.

Their links are written for GitHub. Links to files that are no pages become plain text.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PAGES = {"index.md": "README.md", "tasks.md": "docs/README.md", "changelog.md": "CHANGELOG.md"}
"""Pages of the site, and the files of the project that hold them."""
_WITHOUT_NAVIGATION = "---\nhide: [navigation]\n---\n\n"
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#]+)(#[^)\s]+)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages; docs/README.md would be a second home."""
    files.remove(files.src_uris["README.md"])
    for name, source in PAGES.items():
        text = _of_the_site((ROOT / source).read_text(encoding="utf-8"), (ROOT / source).parent)
        files.append(File.generated(config, name, content=_WITHOUT_NAVIGATION + text if name == "index.md" else text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Rewrite the links of the pages of docs/ that leave it."""
    return _of_the_site(markdown, ROOT / "docs")


def _of_the_site(text: str, folder: Path) -> str:
    """Rewrite links of a text that lies in `folder`: the site has its pages in one folder, and nothing else."""

    def rewritten(link: re.Match[str]) -> str:
        words, target, anchor = link[1], link[2], link[3] or ""
        if re.match(r"https?:", target) or not (folder / target).exists():  # a broken one stays: the build fails at it
            return link[0]
        path = (folder / target).resolve().relative_to(ROOT).as_posix()
        pages = {source: name for name, source in PAGES.items()} | {"docs/example.ipynb": "notebook.md"}
        name = pages.get(path, path.removeprefix("docs/") if path.startswith("docs/") else "")
        return f"[{words}]({name}{anchor})" if name else words

    return re.sub(r"(!\[[^\]]*\]\()docs/", r"\1", _LINK.sub(rewritten, text))
