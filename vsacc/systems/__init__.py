"""Every system behind one contract, a file each: its network, its sizes by profile, what it changes of a task's recipe,
and how it is called and drawn.

Every :class:`System` that stands at the top of a file of this room is a system; no list names them. Imported from here:
the core and ``local``. A system knows tasks by name only, where one of them asks for other sizes than the rest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, NamedTuple

import torch

from ..local.paths import UserError
from ..reading import Question
from ..saccader import Model

# Okabe and Ito's palette, told apart with any colour vision; grey, indigo and violet extend it.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE, GREY, INDIGO, VIOLET = (
    *("#000000", "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7"),
    *("#8a8a8a", "#332288", "#8878d0"),
)


class Mark(NamedTuple):
    """How something is drawn in every figure. label: its name there."""

    colour: str
    marker: str
    label: str


class Variant(NamedTuple):
    """A system with some of its choices changed: fields of its configuration and of the recipe."""

    config: dict[str, Any]
    recipe: dict[str, Any]
    colour: str


@dataclass(frozen=True)
class System:
    """A system, and all that is said of it.

    name: in commands, rows and cards. label: in figures. says: one sentence on what it is. reads: what it looks at of
    an image when it answers, with {} for its number of glimpses. config: the class of its configurations, which has a
    field ``channels``. make: (configuration, question) -> model, with initial weights from torch's global generator.
    sizes: the configuration of each profile; changes: fields of it, by task or by (task, profile), the latter above the
    former; recipes: likewise, what it changes of a task's recipe. variants: by name. videos: it learns from videos."""

    name: str
    label: str
    says: str
    reads: str
    colour: str
    marker: str
    config: type
    make: Callable[[Any, Question], Model]
    sizes: Mapping[str, Any]
    changes: Mapping[Any, dict[str, Any]] = field(default_factory=dict)
    recipes: Mapping[Any, dict[str, Any]] = field(default_factory=dict)
    variants: Mapping[str, Variant] = field(default_factory=dict)
    videos: bool = False

    def configure(self, task: str, profile: str) -> Any:
        """Its configuration for a task under a profile."""
        return replace(self.sizes[profile], **self.changes.get(task, {}) | self.changes.get((task, profile), {}))

    def glimpses(self, config: Any) -> int | None:
        """T of a configuration, or of its fields as a row holds them; None for a system that takes no glimpse."""
        return (config if isinstance(config, Mapping) else vars(config))["glimpses"] if "{}" in self.reads else None

    def build(self, config: Any, question: Question) -> Model:
        """The model, its initial weights drawn from torch's global generator."""
        # Convolutions on a CPU are up to twice as fast with the channels last.
        return self.make(config, question).to(memory_format=torch.channels_last)

    def read_config(self, fields: Mapping[str, Any]) -> Any:
        """A configuration from the fields that a card holds. Raises TypeError for fields of another version."""
        return self.config(**with_tuples(fields))

    def refuses(self, video: bool) -> str | None:
        """Why it cannot learn a task, as a sentence; None where it can."""
        return f"{self.name} looks at still images and cannot learn from videos" if video and not self.videos else None


def with_tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that were written as JSON, which has no tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}


def all_systems() -> dict[str, System]:
    """Every system by name."""
    files = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    return {value.name: value for file in files for value in vars(file).values() if isinstance(value, System)}


def find_system(name: str) -> System:
    """The system called ``name``. Raises UserError for an unknown one."""
    if name not in (known := all_systems()):
        raise UserError(f"system {name!r} is unknown, choose one of {', '.join(known)}.")
    return known[name]


def system_name(system: str, variant: str = "") -> str:
    """What a system, or a variant of one, is called in tables and figures."""
    return f"{system} ({variant.replace('_', ' ')})" if variant else system


def marks() -> dict[str, Mark]:
    """How each system and variant is drawn, by :func:`system_name`."""
    found = {}
    for system in all_systems().values():
        found[system.name] = Mark(system.colour, system.marker, system.label)
        for name, variant in system.variants.items():
            label = system_name(system.label, name)
            found[system_name(system.name, name)] = Mark(variant.colour, system.marker, label)
    return found
