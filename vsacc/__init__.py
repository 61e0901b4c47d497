"""Classifying very large images through a few glimpses: Variational Saccading and its peers.

The names that a reader needs first stand here and are imported when they are used; the rest is found by its room. The
core, ``sampler vrnn reading loss saccader``, is the paper and needs torch alone. Commands: ``vsacc --help``."""

from importlib import import_module

_HOMES = {
    "glimpse": "sampler",
    "proxy": "sampler",
    "build_pyramid": "sampler",
    "Pyramid": "sampler",
    "Saccader": "saccader",
    "Config": "saccader",
    "load": "training.weights",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
