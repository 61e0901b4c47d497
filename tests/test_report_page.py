"""What the report's pages make of a notebook's text and of a record's numbers."""

import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from vsacc.report.index import key_results, title_and_question
from vsacc.report.page import markdown_to_html, mathml


def test_title_and_question_come_from_the_text():
    text = (
        "# Where to look\n\n[next](b.ipynb) · 3 s\n\n"
        "> **Question.** Does *it* learn\nin $T=2$ steps? Yes.\n\n## More\nNo?"
    )
    assert title_and_question(new_notebook(cells=[new_markdown_cell(text)])) == (
        "Where to look",
        "Does *it* learn in $T=2$ steps?",
    )
    assert title_and_question(new_notebook(cells=[new_markdown_cell("# A\n\nOne. Two.")])) == ("A", "One.")


def test_key_results_are_single_values_in_order():
    results = {"acc": 0.12345678, "by_task": {"one": 1200, "rows": [1]}, "curve": [1, 2], "done": True}
    assert key_results(results) == [("acc", "0.1235"), ("by task one", "1,200"), ("done", "yes")]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("$a_1$", "<msub>"),
        ("$$\\begin{aligned} a &= b \\\\ &\\ge c \\end{aligned}$$", "<mtable"),
        ("$$x \\tag{6}$$", "(6)"),
        ("costs $\\nosuch{x}$", '<code class="tex">\\nosuch{x}</code>'),
    ],
)
def test_equations_become_mathml_or_stay_readable(source, expected):
    assert expected in markdown_to_html(source)


def test_display_and_inline_differ():
    assert 'display="block"' in mathml("x", display=True) and 'display="block"' not in mathml("x", display=False)
