"""Trained weights that travel: a safetensors file and a JSON card that says what they are and how they did."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from ..local.paths import WEIGHTS, UserError, write_atomic
from ..saccader import Config
from ..systems.models import Plain, build_model, read_config
from ..tasks.base import kind_of


def save_weights(model: nn.Module, card: dict, path: Path, dtype: torch.dtype | None = None) -> None:
    """Write ``path`` (.safetensors) and the card beside it (.json); the card last, so that it vouches for both.

    ``dtype``: of the floating-point tensors in the file, such as torch.bfloat16 to halve it; None leaves them.
    """
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


def open_trained(name: str) -> tuple[nn.Module, dict]:
    """A committed model of data/weights, ready to look, and its card. Raises UserError where there is none such."""
    path = WEIGHTS / f"{name}.safetensors"
    card = read_card(path)
    config = read_config(card["model"], card["config"])
    model = build_model(card["model"], config, kind_of(card["task"]))
    return load_into(model, config, path).eval(), card


def load_into(model: nn.Module, config: Config | Plain, path: Path) -> nn.Module:
    """Load weights into a model built from ``config``, in the model's own precision whatever the file's.

    Raises UserError unless card, file and model agree.
    """
    from safetensors import SafetensorError  # here: a machine for training need not have it
    from safetensors.torch import load

    card = read_card(path)
    had, wanted = asdict(read_config(card["model"], card["config"])), asdict(config)
    if had != wanted:
        differing = sorted(key for key in had.keys() | wanted.keys() if had.get(key) != wanted.get(key))
        theirs, ours = ({key: sizes.get(key) for key in differing} for sizes in (had, wanted))
        raise UserError(
            f"{path.name} was trained with {theirs}, not with {ours}, choose the matching config or retrain."
        )
    try:
        model.load_state_dict(load(path.read_bytes()))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path.name} does not hold this model's weights ({reason}), fetch it again or retrain."
        ) from None
    return model
