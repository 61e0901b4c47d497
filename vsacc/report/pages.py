"""The report's pages: one an executed notebook and an index of them, readable offline.

Equations become MathML, which browsers draw themselves, so that no page needs a network. A page has light and dark
colours and no script.
"""

import base64
import io
import json
import re
from copy import deepcopy
from html import escape
from pathlib import Path

import nbformat
from math_core import LatexError, LatexToMathML
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from PIL import Image
from pygments.formatters import HtmlFormatter

from ..local.paths import write_atomic
from ..local.record import provenance
from .notebooks import WIDGET, figures, find_notebooks, outputs

TITLE = "Looking at very large images through a few glimpses"
ABOUT = (
    "The executed notebooks of vsacc, a research workbook on Variational Saccading (Ramapuram et al., 2018): "
    "a model sees a small, coarse copy of an image, decides where to look and classifies what it finds."
)
STYLE = """
:root { color-scheme: light dark; --page: #fbfaf7; --card: #fff; --ink: #1f2328; --soft: #667079;
  --line: #e3e0d8; --accent: #0b6e69; --bad: #b3261e; --code: #f4f2ec; }
@media (prefers-color-scheme: dark) { :root { --page: #15181b; --card: #1d2125; --ink: #dfe3e6;
  --soft: #97a1a9; --line: #32383e; --accent: #5cc7bf; --bad: #ff8a80; --code: #22272c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 5rem; max-width: 54rem; background: var(--page);
  color: var(--ink); font: 1.02rem/1.62 system-ui, sans-serif; }
a { color: var(--accent); text-decoration-thickness: 1px; text-underline-offset: .15em; }
h1, h2, h3 { line-height: 1.25; text-wrap: balance; }
h1 { font-size: 1.9rem; margin: .4rem 0 1rem; }
h2 { font-size: 1.35rem; margin: 2.4rem 0 .6rem; }
h3 { font-size: 1.1rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
.soft { color: var(--soft); font-size: .88rem; }
.bad { color: var(--bad); }
"""
NOTEBOOK_STYLE = """
.input { position: relative; margin: 1.1rem 0 .5rem; }
.input pre { background: var(--code); border-radius: 6px; padding: .75rem .95rem; }
.input_prompt { position: absolute; right: .7rem; top: .35rem; font: .7rem ui-monospace, monospace;
  color: var(--soft); }
.output_prompt, .text_cell .prompt, .output_area > .prompt { display: none; }
pre { margin: 0; overflow-x: auto; font: .84rem/1.5 ui-monospace, monospace; }
code { font-family: ui-monospace, monospace; font-size: .9em; }
.output { overflow-x: auto; }
.output_area { margin: .5rem 0; }
.output_area pre { padding: .2rem .95rem; border-left: 2px solid var(--line); }
.output_stderr pre { border-color: var(--soft); }
.output_error pre { border-color: var(--bad); }
.output_png img, .output_jpeg img { display: block; max-width: 100%; margin: .7rem auto; background: #fff;
  border-radius: 6px; }
blockquote { margin: 1rem 0; padding: .1rem 1rem; border-left: 3px solid var(--accent); color: var(--soft); }
math { font-size: 1.08em; }
math[display="block"] { margin: 1rem 0; overflow-x: auto; overflow-y: hidden; }
.tex { color: var(--soft); white-space: pre-wrap; }
.rendered_html table { margin: 1rem 0; }
"""
CODE_STYLE = f"""
{HtmlFormatter(style="tango").get_style_defs(".highlight")}
@media (prefers-color-scheme: dark) {{
{HtmlFormatter(style="github-dark").get_style_defs(".highlight")} }}
.highlight {{ background: none !important; }}
"""
INDEX_STYLE = """
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
WIDGET_NOTE = '<p class="soft">Sliders stand here when the notebook is open in JupyterLab.</p>'
_TO_MATHML = LatexToMathML(fancy_error=False)
THUMBNAIL = (640, 480)  # pixels, twice what is shown
ROWS = 8  # numbers shown of a record


def write_index(out: Path) -> Path:
    """Write out/index.html from the executed notebooks and records that lie in ``out``; returns its path."""
    made = provenance()
    facts = f"Revision {made['revision']} · {made['device']} · torch {made['torch']} · {_day(made['date'])}"
    cards = "\n".join(_card(path, out) for path in find_notebooks())
    header = f'<header><h1>{TITLE}</h1><p>{ABOUT}</p><p class="soft">{escape(facts)}</p></header>'
    return write_atomic(out / "index.html", page(f"vsacc: {TITLE}", f"{header}\n<main>{cards}</main>", INDEX_STYLE))


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


def page(title: str, body: str, style: str = "") -> str:
    """A whole HTML document around ``body``; ``title`` is plain text."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def notebook_page(notebook: NotebookNode) -> str:
    """An executed notebook as one HTML file; its ``metadata.vsacc`` says how it was run and what went wrong."""
    exporter = HTMLExporter(template_name="basic", filters={"markdown2html": markdown_to_html})
    content, _ = exporter.from_notebook_node(_presentable(notebook))
    # Notebooks point to each other; so do their pages.
    content = re.sub(r'href="(\d\d_\w+)\.ipynb(#[^"]*)?"', r'href="\1.html\2"', content)
    (title, _), run = title_and_question(notebook), notebook.metadata.vsacc
    facts = f"{run.profile} profile · {run.seconds:.0f} s · {run.device} · revision {run.revision}"
    head = f'<p class="soft"><a href="index.html">All notebooks</a> · {escape(facts)}</p>'
    failed = f'<p class="bad">Failed. {escape(run.error)}</p>' if run.error else ""
    return page(title, head + failed + content, NOTEBOOK_STYLE + CODE_STYLE)


def markdown_to_html(source: str) -> str:
    """Markdown with LaTeX equations -> HTML with MathML."""
    renderer = _Renderer(escape=False, exclude_anchor_links=True)
    return MarkdownWithMath(renderer=renderer).render(source)


def mathml(tex: str, display: bool) -> str:
    r"""LaTeX without its dollar signs -> MathML. What cannot be converted is shown as it is written.

    A display with a ``\tag`` is put into an equation environment, where LaTeX takes one.
    """
    if display and r"\tag" in tex and r"\begin{equation}" not in tex and r"\begin{align}" not in tex:
        tex = rf"\begin{{equation}}{tex}\end{{equation}}"
    try:
        return _TO_MATHML.convert_with_local_state(tex.strip(), displaystyle=display)
    except LatexError:
        return f'<code class="tex">{escape(tex)}</code>'


class _Renderer(IPythonRenderer):
    def block_math(self, body: str) -> str:
        return mathml(body, display=True)

    def inline_math(self, body: str) -> str:
        return mathml(body, display=False)

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)


def _presentable(notebook: NotebookNode) -> NotebookNode:
    """A copy with a note in the place of each widget, whose scripts a page would have to fetch, and a name
    for each figure."""
    notebook = deepcopy(notebook)
    notebook.metadata.pop("widgets", None)
    number = 0
    for output in outputs(notebook):
        if WIDGET in output.get("data", {}):
            output.data = NotebookNode({"text/html": WIDGET_NOTE})
        elif "image/png" in output.get("data", {}):
            number += 1
            output.metadata.setdefault("image/png", {}).setdefault("alt", f"Figure {number}")
    return notebook
