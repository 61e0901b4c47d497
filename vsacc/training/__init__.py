"""Runs: what one is (``jobs``), the loop (``fit``), several devices (``processes``), what is measured (``evaluation``)
and weights that travel (``weights``). Imports the core, ``local``, ``images``, ``systems`` and ``tasks``."""
