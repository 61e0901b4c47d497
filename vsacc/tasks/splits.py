"""The split of photographs that come without one."""

import hashlib

SHARES = (("train", 0.7), ("validation", 0.8), ("test", 1.0))  # up to here; the shares of FiveK's 3500, 500 and 1000


def split_of(name: str) -> str:
    """The split of a photograph, from its name alone: others coming or going do not move it."""
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) / 2**32
    return next(split for split, end in SHARES if share < end)
