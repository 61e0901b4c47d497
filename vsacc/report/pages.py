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
STYLE = (
    f"""
{HtmlFormatter(style="tango").get_style_defs(".highlight")}
@media (prefers-color-scheme: dark) {{
{HtmlFormatter(style="github-dark").get_style_defs(".highlight")} }}
"""
    """
:root { color-scheme: light dark; --card: light-dark(#fff, #1d2125); --line: light-dark(#e3e0d8, #32383e);
  --soft: light-dark(#667079, #97a1a9); --accent: light-dark(#0b6e69, #5cc7bf); --bad: light-dark(#b3261e, #ff8a80); }
body { margin: 0 auto; padding: 2rem 1.25rem 5rem; max-width: 56rem; background: light-dark(#fbfaf7, #15181b);
  color: light-dark(#1f2328, #dfe3e6); font: 1.02rem/1.62 system-ui, sans-serif; }
a { color: var(--accent); }
h1, h2, h3 { line-height: 1.25; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
pre, code { font-family: ui-monospace, monospace; font-size: .87rem; }
pre { margin: 0; line-height: 1.5; }
img { display: block; max-width: 100%; margin: 0 auto; background: #fff; border-radius: 6px; }
blockquote { margin: 1rem 0; padding: .1rem 1rem; border-left: 3px solid var(--accent); color: var(--soft); }
math { font-size: 1.08em; }
math[display="block"] { margin: 1rem 0; overflow-x: auto; overflow-y: hidden; }
.soft, .input_prompt { color: var(--soft); font-size: .88rem; }
.bad { color: var(--bad); }
.card, .input { background: var(--card); border: 1px solid var(--line); border-radius: 8px; margin: 1.1rem 0 .6rem; }
.card { display: grid; grid-template-columns: 3fr 2fr; gap: 1.4rem; padding: 1.2rem; }
.card h2 { margin: 0; font-size: 1.2rem; }
.card td { text-align: right; }
.input { padding: .5rem .95rem; overflow-x: auto; }
.output_area { margin: .6rem 0; overflow-x: auto; }
.output_area pre { padding-left: .95rem; border-left: 2px solid var(--line); }
.output_error pre { border-color: var(--bad); }
.output_prompt, .text_cell .prompt, .output_area > .prompt { display: none; }
.highlight { background: none !important; }
"""
)
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
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
