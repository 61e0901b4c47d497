"""Loops that are compiled for CPUs, by numba at first use, in seconds, and kept on disk; what is here needs numba, and
every loop has a twin in plain torch where it is called from."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch
from numba import njit

LEAST = 2**17  # numbers that are worth a thread

compiled = njit(nogil=True, cache=True, error_model="numpy")


def in_threads(count: int, numbers: int, work: Callable) -> list:
    """What ``work`` (first, last) returns of equal shares of ``count`` things, which are ``numbers`` numbers."""
    threads = max(1, min(torch.get_num_threads(), numbers // LEAST, count))
    if threads == 1:
        return [work(0, count)]
    ends = [count * k // threads for k in range(threads + 1)]
    return list(pool(threads, os.getpid()).map(work, ends, ends[1:]))


@lru_cache(maxsize=4)
def pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads of a process: a fork has none of its parent's."""
    return ThreadPoolExecutor(threads)
