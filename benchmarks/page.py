"""The page of all benchmarks: its sections, and bars for a plot."""

import re
from pathlib import Path
from xml.sax.saxutils import escape

from tools.paths import ROOT
from tools.prove import machine

PAGE = ROOT / "docs" / "performance.md"
SECTIONS = ROOT / "docs" / "performance"
_LINK = re.compile(r"\]\((?!https?:|#)([^)]+)\)")
_BAR, _LABEL, _WIDTH = 22, 330, 380
_COLOURS = ("#2f6f9f", "#b5643c", "#8a8a8a", "#5b8c5a")


def write_section(name: str, text: str) -> None:
    """Write a benchmark's own section, `docs/performance/<name>.md`, and the page of all of them."""
    SECTIONS.mkdir(exist_ok=True)
    (SECTIONS / f"{name}.md").write_text(text.strip() + "\n")
    gather()


def gather() -> None:
    """Put the sections that there are into one page, each before its notes (`<name>.notes.md`)."""
    sections = [_LINK.sub(_from_above, page.read_text().strip()) for page in sorted(SECTIONS.glob("*.md"))]
    head = (
        "# Performance\n\nMeasured by `make bench`, each section in a run of its own. Ratios within one run"
        f" count; milliseconds are of one machine: {machine()}. What each limit of AWS allows stands in"
        " [scaling](scaling.md)."
    )
    PAGE.write_text("\n\n".join([head, *sections]) + "\n")


def _from_above(link: re.Match[str]) -> str:
    """A section's link, as the page one folder up has it."""
    place = link[1].removeprefix("../") if link[1].startswith("../") else f"performance/{link[1]}"
    return f"]({place})"


def bars(path: Path, title: str, rows: list[tuple[str, float]], unit: str, *, groups: int = 1) -> None:
    """Draw a bar for each row: an SVG file, legible on light and dark pages.

    Of each `groups` rows, which are compared, every one has a colour of its own.
    """
    most = max(value for _, value in rows)
    height = 40 + _BAR * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LABEL + _WIDTH + 90}" height="{height}"'
        f' font-family="sans-serif" font-size="12" role="img" aria-label="{escape(title)}">',
        f'<rect width="100%" height="100%" fill="#ffffff"/><text x="8" y="20">{escape(title)}</text>',
    ]
    for number, (label, value) in enumerate(rows):
        top, colour = 32 + number * _BAR, _COLOURS[number % groups]
        parts.append(
            f'<text x="{_LABEL - 8}" y="{top + 13}" text-anchor="end">{escape(label)}</text>'
            f'<rect x="{_LABEL}" y="{top}" width="{value / most * _WIDTH:.1f}" height="16" fill="{colour}"/>'
            f'<text x="{_LABEL + value / most * _WIDTH + 6:.1f}" y="{top + 13}">{value:.2f} {unit}</text>'
        )
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")
