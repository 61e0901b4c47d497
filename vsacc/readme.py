"""The README's table of results, written from the cards in data/weights: ``python -m vsacc.readme``."""

import json
import re
from pathlib import Path

from .paths import ROOT, WEIGHTS, UserError, one_sentence_exit, write_atomic

README = ROOT / "README.md"
PART = re.compile(r"(<!-- results -->\n).*?(<!-- end of results -->)", re.DOTALL)
COLUMNS = ("task", "profile", "parameters", "seed", "accuracy", "digits found", "minutes", "device")
PLANNED = [("identification", "paper")]  # headline rows that are shown even while nobody has run them


def table(folder: Path) -> str:
    """One row per card, by task, profile and seed; a planned row without a card says so."""
    cards = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    rows = [
        f"| {card['task']} | {card['profile']} | {card['parameters'] / 1e6:.2f} M | {card['seed']} "
        f"| {100 * card['test_accuracy']:.1f} % | {100 * card['localised']:.1f} % | {card['seconds'] / 60:.1f} "
        f"| {card['device']}, {card['threads']} thread(s) |\n"
        for card in cards
    ]
    have = {(card["task"], card["profile"]) for card in cards}
    missing = [planned for planned in PLANNED if planned not in have]
    rows += [f"| {task} | {profile} | | | not run | | | |\n" for task, profile in missing]
    return f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n" + "".join(rows)


def render(text: str, folder: Path) -> str:
    """``text`` with the part between the markers made anew. Raises UserError where there are no markers."""
    if not PART.search(text):
        raise UserError("README.md has lost its '<!-- results -->' ... '<!-- end of results -->' lines, restore them.")
    return PART.sub(lambda found: found[1] + table(folder) + found[2], text)


def main() -> None:
    write_atomic(README, render(README.read_text(), WEIGHTS))


if __name__ == "__main__":
    one_sentence_exit(main)
