"""The report as one HTML file: no other file, no script, nothing fetched; light or dark as the reader's system is."""

from __future__ import annotations

import base64
from html import escape

from processors.study.analysis import Report
from processors.study.plots import DARK, LIGHT, draw
from processors.study.tables import Table, facts, multiplicity, tables

CAPTIONS = {
    "reliability": "Reliability: on the dashed line, a probability means what it says. Wilson intervals per bin, which "
    "take episodes for independent.",
    "auc": "AUC of the score, of the simplest predictors, and of the score at control levels.",
    "outcomes": "Outcomes by the first signal of the episode.",
    "excursions": "Greatest gain (MFE) and loss (MAE) on the way, and what is left after fees, entered one snap after "
    "the signal.",
}

_STYLE = """
:root { color-scheme: light dark;
  --back: #ffffff; --text: #1f2328; --faint: #d0d7de; --quiet: #59636e; --mark: #b35900 }
@media (prefers-color-scheme: dark) {
  :root { --back: #0d1117; --text: #e6edf3; --faint: #30363d; --quiet: #9198a1; --mark: #ff8c42 } }
body { background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem }
.verdict { font-size: 1.15rem; font-weight: 600; border-left: 4px solid var(--mark); padding-left: .8rem }
.warning { color: var(--mark); font-weight: 600 }
.note { color: var(--quiet) }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; margin: .5rem 0 1.5rem }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--faint); text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
img { max-width: 100%; height: auto }
figure { margin: 1.5rem 0 } figcaption { color: var(--quiet) }
"""


def render(report: Report) -> str:
    """The whole page."""
    light, dark = draw(report, LIGHT), draw(report, DARK)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Breakwater study {escape(report.frozen_hash)}</title><style>{_STYLE}</style></head><body>",
        f'<p class="verdict">{escape(report.verdict)}</p>',
        *(f'<p class="warning">{escape(warning)}</p>' for warning in report.warnings),
        "<h1>Will it break or reject? A study of stored sessions</h1>",
        _table(Table("", "", (), [tuple(row) for row in facts(report)])),
        *(_figure(name, light[name], dark[name]) for name in light),
        *(f"<h2>{escape(table.title)}</h2>{_table(table)}" for table in tables(report)),
        f'<h2>How many comparisons</h2><p class="note">{escape(multiplicity(report))}</p>',
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _table(table: Table) -> str:
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in table.headings)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return f'{note}<div class="wide"><table>{f"<tr>{head}</tr>" if head else ""}{rows}</table></div>'


def _figure(name: str, light: bytes, dark: bytes) -> str:
    caption = escape(CAPTIONS[name])
    return (
        f'<figure><picture><source srcset="{_embedded(dark)}" media="(prefers-color-scheme: dark)">'
        f'<img src="{_embedded(light)}" alt="{caption}"></picture><figcaption>{caption}</figcaption></figure>'
    )


def _embedded(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
