"""Classifying very large images through a few glimpses. The names a reader needs first; the rest by module."""

from .sampler import Pyramid, build_pyramid, glimpse, proxy

__all__ = ["Pyramid", "build_pyramid", "glimpse", "proxy"]
