"""The report's pages: one an executed notebook, readable offline, and the style all of them share.

Equations become MathML, which browsers draw themselves, so that no page needs a network. A page has light and
dark colours and no script.
"""

import re
from copy import deepcopy
from html import escape

from math_core import LatexError, LatexToMathML
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from .notebooks import WIDGET, outputs

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
.text_cell pre { background: var(--code); border-radius: 6px; padding: .75rem .95rem; }
.rendered_html table { margin: 1rem 0; }
"""
CODE_STYLE = "\n".join(
    [
        HtmlFormatter(style="tango").get_style_defs(".highlight"),
        "@media (prefers-color-scheme: dark) {",
        HtmlFormatter(style="github-dark").get_style_defs(".highlight"),
        "}",
        ".highlight { background: none !important; }",
    ]
)
WIDGET_NOTE = '<p class="soft">Sliders stand here when the notebook is open in JupyterLab.</p>'
_TO_MATHML = LatexToMathML(fancy_error=False)


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


def notebook_page(notebook: NotebookNode, title: str, facts: str, error: str | None = None) -> str:
    """An executed notebook as one HTML file.

    Args:
        title: plain text.
        facts: one line of plain text about the run, shown above the notebook.
        error: what was wrong with the run, shown there too.
    """
    exporter = HTMLExporter(template_name="basic", filters={"markdown2html": markdown_to_html})
    content, _ = exporter.from_notebook_node(_presentable(notebook))
    # Notebooks point to each other; so do their pages.
    content = re.sub(r'href="(\d\d_\w+)\.ipynb(#[^"]*)?"', r'href="\1.html\2"', content)
    head = f'<p class="soft"><a href="index.html">All notebooks</a> · {escape(facts)}</p>'
    failed = f'<p class="bad">Failed. {escape(error)}</p>' if error else ""
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
