"""One seed for every purpose, so that no two streams of random numbers are the same by accident."""

import numpy as np


def derive(*parts: int) -> int:
    """A 32-bit seed from several numbers, such as (seed, step, purpose).

    Hashed rather than shifted and added: torch's CPU generator keeps the low 32 bits of a seed and drops the rest.
    """
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
