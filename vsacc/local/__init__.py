"""This machine: where files lie, which profile a run has, how a file is written whole, what a run leaves as evidence.

Imports no other room."""
