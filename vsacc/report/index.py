"""The report's index: what a folder of executed notebooks and records holds, on one page."""

import base64
import io
import json
import re
from html import escape
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from PIL import Image

from ..local.paths import write_atomic
from ..local.record import provenance
from .notebooks import figures, find_notebooks
from .page import markdown_to_html, page

TITLE = "Looking at very large images through a few glimpses"
ABOUT = (
    "The executed notebooks of vsacc, a research workbook on Variational Saccading (Ramapuram et al., 2018): "
    "a model sees a small, coarse copy of an image, decides where to look and classifies what it finds."
)
STYLE = """
body { max-width: 66rem; }
header { max-width: 46rem; margin-bottom: 2rem; }
.card { display: grid; grid-template-columns: minmax(0, 20rem) minmax(0, 1fr); gap: 1.4rem; padding: 1.2rem;
  margin: 0 0 1.2rem; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.card h2 { margin: 0 0 .3rem; font-size: 1.2rem; }
.card p { margin: .3rem 0 .7rem; }
.card table { width: 100%; }
.card th { font-weight: normal; color: var(--soft); }
.card td { text-align: right; padding-right: 0; }
.thumb img { width: 100%; border-radius: 6px; background: #fff; display: block; }
.none { display: grid; place-items: center; aspect-ratio: 2; border: 1px dashed var(--line);
  border-radius: 6px; }
@media (max-width: 46rem) { .card { grid-template-columns: minmax(0, 1fr); } }
"""
THUMBNAIL = (640, 480)  # pixels, twice what is shown
ROWS = 8  # numbers shown of a record


def write_index(out: Path) -> Path:
    """Write out/index.html from the executed notebooks and records that lie in ``out``; returns its path."""
    made = provenance()
    facts = f"Revision {made['revision']} · {made['device']} · torch {made['torch']} · {_day(made['date'])}"
    cards = "\n".join(_card(path, out) for path in find_notebooks())
    header = f'<header><h1>{TITLE}</h1><p>{ABOUT}</p><p class="soft">{escape(facts)}</p></header>'
    body = f"{header}\n<main>{cards}</main>"
    return write_atomic(out / "index.html", page(f"vsacc: {TITLE}", body, STYLE))


def title_and_question(notebook: NotebookNode) -> tuple[str, str]:
    """The first heading, and the first sentence under it that asks (else the first one), in Markdown."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    heading = re.search(r"^# (.+)$", text, re.MULTILINE)
    below = re.split(r"^#", text[heading.end() :] if heading else text, maxsplit=1, flags=re.MULTILINE)[0]
    prose = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"^[>*-]\s", "", below, flags=re.MULTILINE))
    sentences = re.split(r"(?<=[.?!])\**\s+", " ".join(prose.replace("**", "").split()))
    question = next((sentence for sentence in sentences if sentence.endswith("?")), sentences[0])
    return heading[1].strip() if heading else "Untitled", question


def key_results(results: dict) -> list[tuple[str, str]]:
    """The first few single values of a record, one level of nesting included, as (name, text) rows."""
    flat = {}
    for key, value in results.items():
        nested = value.items() if isinstance(value, dict) else ()
        flat |= {f"{key} {name}": inner for name, inner in nested} or {key: value}
    single = [(key, value) for key, value in flat.items() if not isinstance(value, dict | list)]
    return [(key.replace("_", " "), _text(value)) for key, value in single[:ROWS]]


def _text(value: object) -> str:
    if value is None:
        return "not run"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _day(date: str) -> str:
    """2026-01-31T12:34:56+00:00 -> 2026-01-31 12:34 UTC"""
    return f"{date[:10]} {date[11:16]} UTC"


def _card(path: Path, out: Path) -> str:
    """One notebook: what ``out`` holds of it, or that it was not run."""
    executed, record = out / path.name, out / f"{path.stem}.json"
    notebook = nbformat.read(executed if executed.exists() else path, as_version=4)
    title, question = title_and_question(notebook)
    title, run = escape(title), notebook.metadata.get("vsacc")
    rest = '<p class="soft">Not run.</p>'
    if run:
        title = f'<a href="{path.stem}.html">{title}</a>'
        facts = f"{run.profile} profile · {run.seconds:.0f} s · {_day(run.date)}"
        if run.error:
            rest = f'<p class="bad">Failed. {escape(run.error)}</p><p class="soft">{facts}</p>'
        else:
            rows = key_results(json.loads(record.read_text())["results"]) if record.exists() else ()
            cells = (f"<tr><th>{escape(key)}</th><td>{escape(text)}</td></tr>" for key, text in rows)
            rest = f'<table>{"".join(cells)}</table><p class="soft">Ran well · {facts}</p>'
    return (
        f'<article class="card"><div class="thumb">{_thumbnail(notebook if run else None)}</div>'
        f"<div><h2>{title}</h2>{markdown_to_html(question)}{rest}</div></article>"
    )


def _thumbnail(notebook: NotebookNode | None) -> str:
    """The last figure of a notebook, small and inside the page."""
    shown = figures(notebook) if notebook else []
    if not shown:
        return '<div class="none soft">no figure yet</div>'
    with Image.open(io.BytesIO(base64.b64decode(shown[-1]))) as image:
        small = image.convert("RGB")
    small.thumbnail(THUMBNAIL)
    packed = io.BytesIO()
    small.save(packed, "WEBP", quality=82)
    return f'<img alt="" src="data:image/webp;base64,{base64.b64encode(packed.getvalue()).decode()}">'
