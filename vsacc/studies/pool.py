"""Where runs are computed: in this process, or in several that end with it, each on a GPU of its own if there are."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing.queues import SimpleQueue

import torch


class Here(Executor):
    """Computes what is submitted at once, in this process."""

    def submit(self, work: Callable, /, *arguments: object) -> Future:
        future: Future = Future()
        try:
            future.set_result(work(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


def open_pool(workers: int) -> Executor:
    """For ``workers`` things at once; with one worker they are computed in this process."""
    if workers == 1:
        return Here()
    # Spawned, not forked: CUDA and the threads of torch do not survive a fork.
    context = multiprocessing.get_context("spawn")
    places = context.SimpleQueue()
    for number in range(workers):
        places.put(gpus()[number % len(gpus())] if gpus() else None)
    return ProcessPoolExecutor(workers, context, initializer=begin, initargs=(places,))


def begin(places: SimpleQueue) -> None:
    """What a worker does first: take a GPU, and see to it that it does not outlive the process that started it."""
    gpu = places.get()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """A worker that goes on after its parent was killed would train what the next command trains too."""
    multiprocessing.parent_process().join()
    os._exit(1)


def gpus() -> list[str]:
    """The GPUs of this process, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return visible.split(",")[:count] if visible else [str(number) for number in range(count)]


def default_workers() -> int:
    """One for each GPU, which a training fills; else one for each core."""
    return len(gpus()) or os.cpu_count() or 1
