"""The report's pages: one an executed notebook and an index of them, readable offline.

Equations become MathML, which browsers draw themselves, so that no page needs a network. A page has light and dark
colours and no script.
"""

import json
import re
from copy import deepcopy
from html import escape
from pathlib import Path

from math_core import LatexError, LatexToMathML
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from ..local.paths import write_atomic
from ..local.record import provenance
from .notebooks import WIDGET, figures, find_notebooks, outputs, read

TITLE = "Looking at very large images through a few glimpses"
ABOUT = (
    "The executed notebooks of vsacc, a research workbook on Variational Saccading (Ramapuram et al., 2018): "
    "a model sees a small, coarse copy of an image, decides where to look and classifies what it finds."
)
_light, _dark = (HtmlFormatter(style=name).get_style_defs(".highlight") for name in ("tango", "github-dark"))
_style, PAGE = (Path(__file__).with_name(f"page.{kind}").read_text() for kind in ("css", "html"))
STYLE = f"{_light}\n@media (prefers-color-scheme: dark) {{\n{_dark} }}\n{_style}"
WIDGET_NOTE = '<p class="soft">Sliders stand here when the notebook is open in JupyterLab.</p>'
ROWS = 8  # numbers shown of a record


def write_index(out: Path) -> Path:
    """Write out/index.html from the executed notebooks and records that lie in ``out``; returns its path."""
    made = provenance()
    facts = f"Revision {made['revision']} · {made['device']} · torch {made['torch']} · {made['date'][:10]}"
    header = f'<h1>{TITLE}</h1>\n<p>{ABOUT}</p>\n<p class="soft">{escape(facts)}</p>\n'
    body = header + "\n".join(card(path, out) for path in find_notebooks())
    return write_atomic(out / "index.html", PAGE.format(title=f"vsacc: {TITLE}", style=STYLE, body=body))


def card(path: Path, out: Path) -> str:
    """One notebook: what ``out`` holds of it, or that it was not run."""
    executed, record = out / path.name, out / f"{path.stem}.json"
    notebook = read(executed if executed.exists() else path)
    (title, question), run = title_and_question(notebook), notebook.metadata.get("vsacc")
    heading, told, picture = escape(title), '<p class="soft">Not run.</p>', ""
    if run:
        heading = f'<a href="{path.stem}.html">{heading}</a>'
        facts = f'<p class="soft">{run.profile} profile · {run.seconds:.0f} s · {run.date[:10]}</p>'
        rows = key_results(json.loads(record.read_text())["results"]) if record.exists() and not run.error else []
        cells = (f"<tr><th>{escape(key)}</th><td>{escape(text)}</td></tr>" for key, text in rows)
        told = (failure(run) or f"<table>{''.join(cells)}</table>") + facts
        picture = "".join(f'<img alt="" src="data:image/png;base64,{png}">' for png in figures(notebook)[-1:])
    words = f"<h2>{heading}</h2>{markdown_to_html(question)}{told}"
    return f'<article class="card"><div>{words}</div><div>{picture}</div></article>'


def failure(run: NotebookNode) -> str:
    return f'<p class="bad">Failed. {escape(run.error)}</p>' if run.error else ""


def title_and_question(notebook: NotebookNode) -> tuple[str, str]:
    """Heading and first paragraph of a notebook, in Markdown, without what makes them large and bold."""
    title, question, *_ = *"\n\n".join(cell.source for cell in notebook.cells).split("\n\n"), ""
    return title.removeprefix("# "), question.strip("*")


def key_results(results: dict) -> list[tuple[str, str]]:
    """The first few single values of a record, one level of nesting included, as (name, text) rows."""
    flat = {}
    for key, value in results.items():
        flat |= {f"{key} {name}": inner for name, inner in value.items()} if isinstance(value, dict) else {key: value}
    single = {key.replace("_", " "): value for key, value in flat.items() if not isinstance(value, dict | list)}
    texts = {float: "{:.4g}", type(None): "not run"}
    return [(key, texts.get(type(value), "{}").format(value)) for key, value in [*single.items()][:ROWS]]


def notebook_page(notebook: NotebookNode) -> str:
    """An executed notebook as one HTML file; its ``metadata.vsacc`` says how it was run and what went wrong."""
    run, shown = notebook.metadata.vsacc, deepcopy(notebook)
    shown.metadata.pop("widgets", None)  # a page would have to fetch their scripts
    for output in outputs(shown):
        if WIDGET in output.get("data", {}):
            output.data = NotebookNode({"text/html": WIDGET_NOTE})
    exporter = HTMLExporter(template_name="basic", filters={"markdown2html": markdown_to_html})
    # Notebooks point to each other; so do their pages.
    content = re.sub(r'href="(\d\d_\w+)\.ipynb', r'href="\1.html', exporter.from_notebook_node(shown)[0])
    facts = f"{run.profile} profile · {run.seconds:.0f} s · {run.device} · revision {run.revision}"
    head = f'<p class="soft"><a href="index.html">All notebooks</a> · {escape(facts)}</p>{failure(run)}\n'
    return PAGE.format(title=escape(title_and_question(notebook)[0]), style=STYLE, body=head + content)


def markdown_to_html(source: str) -> str:
    """Markdown with LaTeX equations -> HTML with MathML."""
    renderer = _Renderer(escape=False, exclude_anchor_links=True)
    return MarkdownWithMath(renderer=renderer).render(source)


class _Renderer(IPythonRenderer):
    def block_math(self, body: str) -> str:
        return mathml(body, display=True)

    def inline_math(self, body: str) -> str:
        return mathml(body, display=False)


def mathml(tex: str, display: bool) -> str:
    """LaTeX without its dollar signs -> MathML. What cannot be converted is shown as it is written."""
    if r"\tag" in tex:
        tex = rf"\begin{{equation}}{tex}\end{{equation}}"  # where LaTeX takes one
    try:
        return LatexToMathML(fancy_error=False).convert_with_local_state(tex.strip(), displaystyle=display)
    except LatexError:
        return f'<code class="tex">{escape(tex)}</code>'
