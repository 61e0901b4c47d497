"""Time and memory of a piece of work, measured one way for every benchmark.

On a GPU seconds come from CUDA events and bytes from torch's allocator. On a CPU seconds are wall clock and bytes are
what torch allocated for tensors, read off the profiler: exact and repeatable, but without the scratch memory that
convolutions take inside their library."""

import os
import re
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import accumulate, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from ..training.processes import device

Work = Callable[[], object]
DEVICE = device()  # where everything is measured
SHARE = 0.8  # of the free memory that work may need


class Cost(NamedTuple):
    """Of one call. seconds: the median; bytes: the most held at once beyond what was held before; calls: timed; times:
    seconds of each, in turn with those of the other works."""

    seconds: float
    bytes: int
    calls: int
    times: tuple[float, ...] = ()

    def over(self, rival: "Cost") -> dict[str, float]:
        """ "ratio": the median over the rounds of the time over the rival's of the same round, between the quartiles
        "low" and "high"; of two works that were measured together."""
        ratios = [ours / theirs for ours, theirs in zip(self.times, rival.times, strict=True)]
        low, ratio, high = map(float, np.quantile(ratios, (0.25, 0.5, 0.75)))
        return {"ratio": ratio, "low": low, "high": high}


def seconds_of(work: Work) -> float:
    """Seconds that one call takes, waiting for the device."""
    if torch.cuda.is_available():
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        work()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peak_bytes(work: Work) -> int:
    """Most bytes that torch's allocator held at once during one call, beyond what it held before."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler chats on stderr
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    events = profile.profiler.kineto_results.events()
    return max(accumulate((event.nbytes() for event in events if event.name() == "[memory]"), initial=0))


def measure(works: Mapping[str, Work], rounds: int, budget: float = float("inf"), title: str | None = None) -> dict:
    """The :class:`Cost` of each work by name.

    The first call of each warms up; memory is read off it, or off a second one where that is cheap, since the first
    also fills caches. Then they are timed in turn, so that a slow moment of the machine hits all of them, ``rounds``
    times or until a work has used up its ``budget`` in seconds. Where the first call does so alone, it is the one that
    counts. ``title`` shows a progress bar."""
    times: dict[str, list[float]] = {name: [] for name in works}
    peaks = {}
    turns = list(product(range(rounds + 1), works.items()))
    for turn, (name, work) in tqdm(turns, title, disable=title is None, leave=False):
        if turn == 0:
            peaks[name] = peak_bytes(lambda name=name, work=work: times[name].append(seconds_of(work)))
            if times[name][0] < budget / 10:
                peaks[name] = peak_bytes(work)
        elif sum(times[name]) < budget:
            times[name].append(seconds_of(work))
    timed = {name: seconds[1:] or seconds for name, seconds in times.items()}
    return {n: Cost(statistics.median(each), peaks[n], len(each), tuple(each)) for n, each in timed.items()}


def largest_batch(make: Callable[[int], Work], batch: int, smallest: int, needed: float) -> int | None:
    """``batch``, halved until ``make(batch)`` can run, or None below ``smallest``. A GPU is asked by trying. A CPU's
    system would kill the process, so there the memory that is free is compared with the bytes ``needed`` for each
    image."""
    while batch >= smallest:
        if torch.cuda.is_available():
            with suppress(torch.OutOfMemoryError):
                make(batch)()
                return batch
            torch.cuda.empty_cache()  # here, where no traceback holds on to tensors
        elif needed * batch <= SHARE * free_bytes():
            return batch
        batch //= 2
    return None


def free_bytes() -> float:
    """Memory a new allocation can have on this machine; infinite where the system does not tell."""
    return 1024 * told("/proc/meminfo", "MemAvailable", float("inf"))


def bytes_from_disk() -> float:
    """That this process has had read so far; 0 where the system does not tell."""
    return told("/proc/self/io", "read_bytes", 0)


def told(path: str, key: str, otherwise: float) -> float:
    """A number that the system has under a key of a file in /proc."""
    found = re.search(rf"^{key}:\s+(\d+)", Path(path).read_text(), re.MULTILINE) if Path(path).exists() else None
    return int(found[1]) if found else otherwise
