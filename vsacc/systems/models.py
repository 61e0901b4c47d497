"""Every model by name, built from its configuration and the task it is for."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ..local.paths import UserError
from ..saccader import Config, Model, Saccader
from ..tasks.base import Kind
from .attention_sampling import AttentionConfig, AttentionSampling
from .dram import Dram, DramConfig
from .proxy_only import ProxyOnly
from .ram import Ram, RamConfig
from .random_glimpses import RandomGlimpses
from .resnet import CropsResNet, WholeResNet


@dataclass(frozen=True)
class Plain:
    """Configuration of a model that leaves nothing to choose."""

    channels: int = 1


MODELS: dict[str, tuple[type, Callable[..., Model]]] = {
    "saccader": (Config, lambda config, kind: Saccader(config, kind.labels, kind.many)),
    "proxy_only": (Config, lambda config, kind: ProxyOnly(config, len(kind.classes), kind.many)),
    "random": (Config, lambda config, kind: RandomGlimpses(config, kind.labels, kind.many)),
    "attention_sampling": (AttentionConfig, lambda config, kind: AttentionSampling(config, len(kind.classes))),
    "ram": (RamConfig, lambda config, kind: Ram(config, len(kind.classes))),
    "dram": (DramConfig, lambda config, kind: Dram(config, len(kind.classes))),
    "resnet18": (Plain, lambda config, kind: WholeResNet(len(kind.classes), config.channels)),
    # As many crops at once as an image has: what a CPU's memory bears at 2528 x 2528, and enough for batch norm.
    "resnet18_144": (Plain, lambda config, kind: CropsResNet(len(kind.classes), config.channels, chunk=144)),
}


def build_model(model: str, config: Config | Plain, kind: Kind) -> nn.Module:
    """The model, its initial weights drawn from torch's global generator."""
    _, build = MODELS[model]
    # Convolutions on a CPU are up to twice as fast with the channels last.
    return build(config, kind).to(memory_format=torch.channels_last)


def read_config(model: str, fields: dict) -> Config | Plain:
    """A configuration from the fields that a card holds. Raises UserError for fields of another version."""
    made, _ = MODELS[model]
    try:
        return made(**{key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()})
    except TypeError as error:
        raise UserError(f"a card's configuration is of another version ({error}), retrain or update.") from None
