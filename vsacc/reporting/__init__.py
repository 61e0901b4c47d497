"""Notebooks as programs, and as pages: executed, scrubbed, turned into HTML, listed in an index. Nothing here knows of
models."""
