"""Files over HTTP that arrive whole or not at all, and go on where they stopped.

A file grows under ``name.part`` and takes its name once its length, and its checksum where one is known, are right.
So a name that exists is a whole file. (The usual libraries start a file anew at every try.)"""

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import NamedTuple
from urllib.parse import quote

from tqdm.auto import tqdm

from ..local.paths import UserError, file_size, locked

AGENT = "vsacc (research workbook; urllib)"
STALL = 30  # seconds without a byte after which a connection is given up
WAITS = (1, 4, 15)  # seconds before each further try; a try that brought new bytes starts them anew
SILENT = 8  # files in a row that failed, after which the server counts as gone
GONE = (401, 403, 404, 410)  # answers that will not change


class Job(NamedTuple):
    """What to fetch and where to put it; size in bytes and sha256 (hexadecimal) where they are known. In the url spaces
    and parentheses are not quoted yet."""

    url: str
    path: Path
    size: int | None = None
    sha256: str | None = None

    @property
    def part(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part")


class Failure(NamedTuple):
    """Why a file could not be had, in one sentence, and whether trying again is vain."""

    reason: str
    final: bool


def download_all(jobs: Sequence[Job], workers: int = 4) -> list[Failure]:
    """Fetch what is not there, ``workers`` files at a time, and say which failed. Where :data:`SILENT` in a row may be
    had later only, the rest is not tried. Raises UserError where a folder cannot be written."""
    jobs = [job for job in jobs if not job.path.exists()]
    failures, in_a_row, stop = [], 0, Event()
    with ExitStack() as stack:
        for folder in sorted({job.path.parent for job in jobs}):
            stack.enter_context(locked(folder))  # two processes would append to the same part
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        stack.callback(stop.set)  # after Ctrl-C the threads stop at their next block
        running = as_completed([pool.submit(fetch, job, stop) for job in jobs])
        for done in tqdm(running, "download", len(jobs), unit="file", delay=2, disable=len(jobs) == 1 or None):
            if failure := done.result():
                failures.append(failure)
            in_a_row = in_a_row + 1 if failure and not failure.final else 0
            if in_a_row == SILENT:
                stop.set()
    return failures


def fetch(job: Job, stop: Event) -> Failure | None:
    """Try until the file is here, trying again is vain, or ``stop`` is set."""
    tries, best = 0, file_size(job.part)
    while not job.path.exists():
        if stop.wait(WAITS[tries - 1] if tries else 0):
            return Failure("not tried, too many others failed", final=False)
        try:
            if file_size(job.part) != job.size:
                receive(job, stop)
            if job.sha256 and sha256_of(job.part) != job.sha256:
                job.part.unlink()  # no further bytes would mend it
                raise UserError(f"{job.url} has a wrong sha256 and was deleted, run this again or look for another.")
            os.replace(job.part, job.path)
        except UserError as error:
            return Failure(str(error), final=True)
        except (OSError, http.client.HTTPException) as error:
            have = file_size(job.part)
            tries, best = (1 if have > best else tries + 1), max(have, best)
            if tries > len(WAITS):
                reason = str(getattr(error, "reason", error)) or type(error).__name__
                return Failure(f"{job.url} did not arrive ({reason}), run this again to go on.", final=False)


def receive(job: Job, stop: Event) -> None:
    """One try at the bytes that the part lacks. Raises UserError where another would be vain, else OSError."""
    have = file_size(job.part)
    headers = {"User-Agent": AGENT} | ({"Range": f"bytes={have}-"} if have else {})
    request = urllib.request.Request(quote(job.url, safe="%/:?#[]@!$&'*+,;="), headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=STALL)
    except urllib.error.HTTPError as error:
        response = error  # an answer like any other
    with response:
        status, span = response.status, response.headers.get("Content-Range", "")
        if status in GONE:
            raise UserError(f"{job.url} cannot be had ({status} {response.reason}), look whether it moved.")
        if status == 200:
            have, total = 0, job.size if response.length is None else response.length
        elif status == 206 and (given := re.fullmatch(rf"bytes {have}-\d+/(\d+)", span)):
            total = int(given[1])
        elif status == 416 and span == f"bytes */{have}":
            total = have
        elif status in (206, 416):
            job.part.unlink()  # it may be longer than the file
            raise OSError(f"asked for the bytes from {have} on and got others")
        else:
            raise OSError(f"{status} {response.reason}")
        if total is None:
            raise OSError("the server does not say how long the file is")
        if job.size not in (None, total):
            raise UserError(f"{job.url} has {total} bytes instead of {job.size}, so it is another file.")
        if status == 416:
            return  # nothing is lacking
        bar = tqdm(None, job.path.name, total, False, unit="B", unit_scale=True, initial=have, delay=2, disable=None)
        with bar, job.part.open("ab" if have else "wb") as file:
            while block := response.read1(1 << 16):
                file.write(block)
                bar.update(len(block))
                if stop.is_set():
                    raise OSError("stopped")
            file.flush()
            os.fsync(file.fileno())
    if file_size(job.part) != total:
        raise OSError(f"broke off after {file_size(job.part)} of {total} bytes")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
