from .table1 import BATCH, EPOCH, PAPER_COST_100  # noqa: F401  on its way out
