"""No number in the README is typed by hand."""

import json

import pytest

from vsacc.paths import WEIGHTS, UserError
from vsacc.readme import README, render, table

CARD = {"task": "one_digit", "model": "saccader", "profile": "laptop", "parameters": 1_230_000, "seed": 2}
CARD |= {"test_accuracy": 0.9512, "localised": 0.987, "seconds": 90.0, "device": "a CPU", "threads": 2}
CARD |= {"protocol": "digits"}


def test_the_readme_says_what_the_cards_say():
    text = README.read_text()
    assert render(text, WEIGHTS) == text, "run python -m vsacc.readme"


def test_a_row(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps(CARD))
    blind = {"task": "mit5k", "model": "proxy_only", "localised": None, "protocol": "a stand-in for FiveK"}
    (tmp_path / "two.json").write_text(json.dumps(CARD | blind))
    rows = table(tmp_path).splitlines()[2:]
    assert rows[0] == "| one_digit | saccader | laptop | 1.23 M | 2 | 95.1 % | 98.7 % | 1.5 | a CPU, 2 thread(s) |"
    assert rows[1] == "| mit5k (stand-in) | proxy_only | laptop | 1.23 M | 2 | 95.1 % |  | 1.5 | a CPU, 2 thread(s) |"
    assert rows[2].split("|")[1:7] == [" identification ", " saccader ", " paper ", " ", " ", " not run "]


def test_lost_markers():
    with pytest.raises(UserError, match="has lost its"):
        render("# A readme", WEIGHTS)
