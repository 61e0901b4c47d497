"""What the cells of the noise study add up to: curves over the levels, and in words up to where a model is robust."""

import numpy as np

from ..systems.noise import describe

LOSS = 0.05  # robust: the mean accuracy over the seeds is at most this far below that on clean proxies
CLEAN = "none"

# variant -> kind -> {"level": [0, ...], "accuracy": a list over levels per seed, "localised": the same or None}
Curves = dict[str, dict[str, dict[str, list]]]


def curves(cells: list[dict]) -> Curves:
    """The cells' tests by variant and kind, the clean proxy first in each; what stopped is left out."""
    found: Curves = {}
    for cell in cells:
        if "stopped" in cell:
            continue
        of_variant, clean = found.setdefault(cell["variant"], {}), cell["tests"][0]
        for kind in dict.fromkeys(row["kind"] for row in cell["tests"] if row["kind"] != CLEAN):
            rows = [clean, *(row for row in cell["tests"] if row["kind"] == kind)]
            curve = of_variant.setdefault(kind, {"accuracy": [], "localised": []})
            curve["level"] = [row["level"] for row in rows]
            curve["accuracy"].append([row["accuracy"] for row in rows])
            if clean["localised"] is None:
                curve["localised"] = None
            else:
                curve["localised"].append([row["localised"] for row in rows])
    return found


def losses(accuracy: list[list[float]]) -> np.ndarray:
    """Mean accuracy lost to each level of the noise: a list over levels per seed, clean first -> (levels,)."""
    mean = np.mean(accuracy, 0)
    return mean[0] - mean


def verdicts(found: Curves, variant: str, chance: str, side: int) -> list[str]:
    """A sentence per kind: where the variant is robust, where it is not, and where it is no better than ``chance``.

    Args:
        chance: the variant that does not see the proxy. Noise leaves nothing to a model whose mean accuracy over the
            seeds is not above the best seed of this one.
        side: J, to say a level in words.
    """
    sentences = []
    for kind, curve in found[variant].items():
        lost, mean = losses(curve["accuracy"]), np.mean(curve["accuracy"], 0)
        floor = np.max(found[chance][kind]["accuracy"], 0)
        fine, broken = [], []
        for level, loss, value, low in list(zip(curve["level"], lost, mean, floor, strict=True))[1:]:
            text = f"{describe(kind, level, side)} ({100 * value:.0f} %)"
            (fine if loss <= LOSS else broken).append(text + (" = chance" if value <= low else ""))
        sentences.append(
            f"{kind}: robust at {', '.join(fine) or 'no level'}; NOT robust at {', '.join(broken) or 'none tested'}"
        )
    return sentences
