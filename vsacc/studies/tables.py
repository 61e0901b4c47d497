from .table1 import count, markdown, number, percent  # noqa: F401  on its way out
