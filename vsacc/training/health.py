"""When a training can no longer end well, and the sentence that says why."""

import math

from ..local.paths import UserError
from .recipes import Job

COLLAPSED = 0.04  # spread of the places, in half sides, below which every image is looked at in the same places


class Stopped(UserError):
    """A training that was given up. It is a function of the job, and so a result of it."""


def check_health(row: dict[str, float], job: Job) -> None:
    """Raises Stopped where the bound is no longer a number or every image is looked at in the same places.

    Args:
        row: of the training's history.
    """
    if not math.isfinite(row["loss"]):
        raise Stopped(
            f"training stopped at step {row['step']}: the bound is {row['loss']} "
            f"(log p(y) {row['log_y']:.3g}, log p(c) {row['log_c']:.3g}, KL {row['kl']:.3g}), lower the learning rate."
        )
    late = row["step"] >= 0.75 * job.recipe.steps and row["step"] >= 1000
    if late and row.get("spread", 1.0) < COLLAPSED:
        raise Stopped(
            f"training stopped at step {row['step']}: every image is looked at in the same places "
            f"(spread {row['spread']:.3f}, mean scale {row['scale']:.2f}), broaden sigma or lower the ELBO's weights."
        )
