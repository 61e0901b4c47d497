"""Files over HTTP that arrive whole or not at all, and go on where they stopped.

A file grows under ``name.part`` and takes its name once its length, and its checksum where one is known, are right.
So a name that exists is a whole file, and after a kill at any time the next run asks for the missing bytes only.
"""

import errno
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event, Lock
from typing import NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

from tqdm.auto import tqdm

from ..local.paths import UserError, file_size

AGENT = "vsacc (research workbook; urllib)"
STALL = 30  # seconds without a byte after which a connection is given up
WAITS = (1, 4, 15)  # seconds before each further try; a try that brought new bytes starts them anew
BLOCK = 1 << 16  # bytes
SILENT = 8  # files in a row that failed, after which the server counts as gone
GONE = (401, 403, 404, 410)  # answers that will not change
HERE = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}  # faults of this disk, not of the network


class Job(NamedTuple):
    """What to fetch and where to put it; size in bytes and sha256 (hexadecimal) where they are known."""

    url: str
    path: Path
    size: int | None = None
    sha256: str | None = None


class Failure(NamedTuple):
    """A job that failed, one sentence on why, and whether trying again is vain."""

    job: Job
    reason: str
    final: bool


class Refused(UserError):
    """The server's answer will not change: the file is not there, or it is another file."""


class Broken(OSError):
    """A transfer that stopped too early or does not fit what is here already: worth another try."""


class Stopped(Exception):
    """Given up before its end, because everything is."""


class Meter:
    """Bytes of this run on one bar, for many threads. The total is the mean file so far times the number of files."""

    def __init__(self, files: int):
        self.files, self.sizes, self.lock, self.stop = files, {}, Lock(), Event()
        self.bar = tqdm(desc="download", unit="B", unit_scale=True, delay=2, disable=None)

    def expect(self, path: Path, size: int) -> None:
        with self.lock:
            self.sizes[path] = max(size, self.sizes.get(path, 0))
            self.bar.total = round(sum(self.sizes.values()) / len(self.sizes) * self.files)

    def advance(self, count: int) -> None:
        if self.stop.is_set():
            raise Stopped
        with self.lock:
            self.bar.update(count)


def download(url: str, path: Path | str, expected_size: int | None = None, sha256: str | None = None) -> None:
    """Fetch one file, unless ``path`` exists.

    Args:
        url: http or https, unquoted: spaces and parentheses are quoted here, "%" is left.
        expected_size: in bytes; a server that holds another size is refused.
        sha256: of the whole file, hexadecimal.

    Raises UserError in one sentence. What has arrived stays in ``path``.part for the next call.
    """
    meter = Meter(1)
    with meter.bar:
        fetch(Job(url, Path(path), expected_size, sha256), meter)


def download_all(jobs: Sequence[Job], workers: int = 4) -> list[Failure]:
    """Fetch many files, ``workers`` at a time, and say which failed. One failure stops no other file.

    Where :data:`SILENT` files in a row fail for reasons that may pass, the rest is not tried.
    """
    failures, in_a_row, meter = [], 0, Meter(len(jobs))
    with meter.bar, ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(fetch, job, meter): job for job in jobs}
        try:
            for future in as_completed(futures):
                try:
                    future.result()
                    in_a_row = 0
                except Stopped:
                    failures.append(Failure(futures[future], "not tried, too many others failed", final=False))
                except UserError as error:
                    final = isinstance(error, Refused)
                    failures.append(Failure(futures[future], str(error), final))
                    in_a_row = 0 if final else in_a_row + 1
                if in_a_row >= SILENT:
                    meter.stop.set()
        finally:
            meter.stop.set()  # after Ctrl-C the threads stop at their next block
    return failures


def fetch(job: Job, meter: Meter) -> None:
    """Try until the file is here. Raises UserError where it cannot be had, Stopped where the meter says so."""
    part, tries = job.path.with_name(f"{job.path.name}.part"), 0
    best = file_size(part)
    while not job.path.exists():
        if meter.stop.wait(WAITS[tries - 1] if tries else 0):
            raise Stopped
        try:
            job.path.parent.mkdir(parents=True, exist_ok=True)
            transfer(job, part, meter)
            finish(job, part)
        except (OSError, http.client.HTTPException) as error:
            reason = why(error, job, part)
            tries, best = (0 if file_size(part) > best else tries), max(file_size(part), best)
            if tries == len(WAITS):
                raise UserError(f"{job.url} did not arrive ({reason}), run this again to go on.") from error
            tries += 1


def why(error: Exception, job: Job, part: Path) -> str:
    """The reason in a few words. Raises UserError where another try would be vain."""
    if isinstance(error, urllib.error.HTTPError):
        if error.code in GONE:
            raise Refused(f"{job.url} cannot be had ({error.code} {error.reason}), look whether it moved.") from error
        return f"{error.code} {error.reason}"
    if getattr(error, "errno", None) in HERE:
        raise UserError(f"{part} cannot be written ({error.strerror}), make room or name another folder.") from error
    return str(getattr(error, "reason", None) or error) or type(error).__name__


def transfer(job: Job, part: Path, meter: Meter) -> None:
    """One try at the bytes that ``part`` lacks. Raises Broken where it must be tried again."""
    have = file_size(part)
    if job.size is not None and have == job.size:
        return
    headers = {"User-Agent": AGENT} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(quoted(job.url), headers=headers), timeout=STALL)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return  # nothing is lacking
        part.unlink()
        raise Broken("what is here is longer than the file") from error
    with response:
        start, total = span(response)
        if job.size is not None and total is not None and total != job.size:
            raise Refused(f"{job.url} has {total} bytes instead of {job.size}, so it is another file.")
        if start not in (0, have):
            part.unlink()
            raise Broken(f"asked for the bytes from {have} on and got others")
        meter.expect(job.path, (total or start) - start)
        with part.open("ab" if start else "wb") as file:
            while block := response.read1(BLOCK):
                file.write(block)
                meter.advance(len(block))
            file.flush()
            os.fsync(file.fileno())
    if total is not None and file_size(part) != total:
        raise Broken(f"broke off after {file_size(part)} of {total} bytes")


def span(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """(first byte that the answer brings, -1 where it does not say; bytes of the whole file, None where in chunks)."""
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        return (int(match[1]), int(match[2])) if match else (-1, None)
    length = response.headers.get("Content-Length")
    if length is None and not response.chunked:
        raise Broken("the server does not say how long the file is")
    return 0, None if length is None else int(length)


def finish(job: Job, part: Path) -> None:
    """Give the whole file its name. A wrong one is deleted: no further bytes would mend it."""
    wrong = None
    if job.size is not None and file_size(part) != job.size:
        wrong = f"has {file_size(part)} bytes instead of {job.size}"
    elif job.sha256 is not None and sha256_of(part) != job.sha256:
        wrong = "has a wrong sha256"
    if wrong:
        part.unlink()
        raise Refused(f"{job.url} {wrong} and was deleted, run this again and if it stays so look whether it changed.")
    os.replace(part, job.path)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def quoted(url: str) -> str:
    """The URL with its path quoted; urllib refuses blanks."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=quote(parts.path, safe="/%")))
