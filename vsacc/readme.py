"""The README's table of results, written from the cards in data/weights: ``python -m vsacc.readme``."""

import json
import re
from pathlib import Path

from .paths import ROOT, WEIGHTS, UserError, one_sentence_exit, write_atomic

README = ROOT / "README.md"
PART = re.compile(r"(<!-- results -->\n).*?(<!-- end of results -->)", re.DOTALL)
COLUMNS = ("task", "model", "profile", "parameters", "seed", "accuracy", "found", "minutes", "device")
PLANNED = [("identification", "saccader", "paper")]  # headline rows that are shown even while nobody has run them


def table(folder: Path) -> str:
    """One row per card, by task, model, profile and seed; a planned row without a card says so."""
    cards = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    rows = [
        f"| {name_of(card)} | {card['model']} | {card['profile']} | {card['parameters'] / 1e6:.2f} M | {card['seed']} "
        f"| {percent(card['test_accuracy'])} | {percent(card['localised'])} | {card['seconds'] / 60:.1f} "
        f"| {card['device']}, {card['threads']} thread(s) |\n"
        for card in cards
    ]
    have = {(card["task"], card["model"], card["profile"]) for card in cards}
    missing = [planned for planned in PLANNED if planned not in have]
    rows += [f"| {task} | {model} | {profile} | | | not run | | | |\n" for task, model, profile in missing]
    return f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n" + "".join(rows)


def name_of(card: dict) -> str:
    """The task of a card, with the word that no number made from a stand-in may go without."""
    return card["task"] + (" (stand-in)" if "stand-in" in card["protocol"] else "")


def percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def render(text: str, folder: Path) -> str:
    """``text`` with the part between the markers made anew. Raises UserError where there are no markers."""
    if not PART.search(text):
        raise UserError("README.md has lost its '<!-- results -->' ... '<!-- end of results -->' lines, restore them.")
    return PART.sub(lambda found: found[1] + table(folder) + found[2], text)


def main() -> None:
    write_atomic(README, render(README.read_text(), WEIGHTS))


if __name__ == "__main__":
    one_sentence_exit(main)
