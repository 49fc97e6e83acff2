"""README.md and docs/ as data: their tables, code spans and code blocks."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def read(name: str | Path) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def tables(page: str, header: str) -> list[list[list[str]]]:
    """Every table whose first column is titled `header`: its rows, each as its cells."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", read(page), re.MULTILINE):
        first, _, *others = (re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines())
        if first[0].strip() == header:
            found.append([[cell.strip() for cell in cells] for cells in others])
    return found


def rows(page: str, header: str) -> list[list[str]]:
    """The rows of all those tables."""
    return [row for table in tables(page, header) for row in table]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def blocks(language: str) -> list[tuple[str, str]]:
    pattern = re.compile(rf"^ *```{language}\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
    return [(str(page), block) for page in PAGES for block in pattern.findall(read(page))]
