"""Trained weights that travel: a safetensors file and a JSON card that says what they are and how they did."""

import json
from pathlib import Path

import torch
from torch import nn

from ..local.paths import WEIGHTS, UserError, write_atomic
from ..reading import Question
from ..saccader import Model
from ..systems import find_system, with_tuples
from ..tasks import Recipe, find_task
from .jobs import Job


def save_weights(model: nn.Module, card: dict, path: Path, dtype: torch.dtype | None = None) -> None:
    """Write ``path`` (.safetensors) and the card beside it (.json); the card last, so that it vouches for both.
    ``dtype``: of the floating-point tensors in the file, such as torch.bfloat16 to halve it; None leaves them."""
    from safetensors.torch import save  # here: a machine for training need not have it

    tensors = {
        name: value.detach().to("cpu", dtype if value.is_floating_point() else None).contiguous()
        for name, value in model.state_dict().items()
    }
    write_atomic(path, save(tensors))
    write_atomic(path.with_suffix(".json"), json.dumps(card, indent=1, allow_nan=False) + "\n")


def read_card(path: Path) -> dict:
    """The card of weights ``path``. Raises UserError where it is missing or unreadable."""
    card = path.with_suffix(".json")
    try:
        return json.loads(card.read_text())
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in WEIGHTS.glob("*.safetensors"))) or "none"
        raise UserError(f"{path.name} has no card {card.name} beside it, committed weights are: {known}.") from None
    except ValueError as error:
        raise UserError(f"{card.name} is not a readable card ({error}), fetch it again with git checkout.") from None


def job_of(card: dict) -> Job | None:
    """The job that a card, or a row, is the result of; None where this version has no such job. What a card does not
    name, because it is older than the choice, has its default: the choice that there was."""
    try:
        config = find_system(card["model"]).read_config(card["config"])
        recipe = Recipe(**with_tuples(card["recipe"]))
        return Job(card["task"], card["model"], card["profile"], card["seed"], config, recipe)
    except (KeyError, TypeError, UserError):
        return None


def load(name: str | Path) -> Model:
    """A trained model in evaluation, ready to look, in its own precision whatever the file's.

    Its ``card`` says what it is and how it did, ``classes`` are the names of its classes, ``task`` is what it learned,
    ``many`` whether it is asked questions of yes or no. name: of weights that come with vsacc, such as
    "one_digit-laptop-seed0", or the path of a .safetensors file. Raises UserError where there is none such, or card,
    file and this version do not agree."""
    from safetensors import SafetensorError  # here: a machine for training need not have it
    from safetensors.torch import load as parse

    path = Path(name) if Path(name).suffix == ".safetensors" else WEIGHTS / f"{name}.safetensors"
    card = read_card(path)
    try:
        system, names = find_system(card["model"]), card.get("classes")
        question = Question(torch.arange(len(names)), tuple(names), card.get("many", False)) if names else None
        question = question or find_task(card["task"]).question
        model = system.build(system.read_config(card["config"]), question)
    except (KeyError, TypeError) as error:
        raise UserError(f"the card of {path.name} is of another version ({error}), retrain or update.") from None
    try:
        model.load_state_dict(parse(path.read_bytes()))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path.name} does not hold this model's weights ({reason}), fetch it again.") from None
    model.card, model.task, model.classes, model.many = card, card["task"], question.classes, question.many
    model.temperatures = tuple(card.get("temperatures", (1.0,)))
    return model.eval()
