"""A training run as data: which system learns which task, at which sizes and by which recipe."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from ..local.paths import TRAININGS, UserError, resolve_profile, resolve_seed
from ..saccader import Model
from ..systems import find_system
from ..tasks import Recipe, find_task


@dataclass(frozen=True)
class Job:
    """One training run, and the whole of what its result depends on. model: name of the system."""

    task: str
    model: str
    profile: str
    seed: int
    config: Any
    recipe: Recipe

    @property
    def name(self) -> str:
        """Readable, good as the name of a folder, and different for every difference in the job."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:8]
        task = "".join(c if c.isalnum() or c in "-_" else "_" for c in self.task)[-60:]
        return f"{task}-{self.model}-{self.profile}-seed{self.seed}-{digest}"


def make_job(
    task: str,
    profile: str = "auto",
    model: str = "saccader",
    seed: int = 0,
    config: dict | None = None,
    recipe: dict | None = None,
) -> Job:
    """The job of a system on a task under a profile; ``config`` and ``recipe`` name fields to change. Raises UserError
    for an unknown task, system or profile, for a seed that is none, and for a pair that cannot be."""
    profile, learned, system = resolve_profile(profile, TRAININGS), find_task(task), find_system(model)
    if refusal := system.refuses(learned.video):
        raise UserError(f"{refusal}, choose another task than {task} or another system.")
    if profile not in learned.recipes.keys() & system.sizes.keys():
        raise UserError(f"{model} has no profile {profile} on {task}, choose one of {', '.join(learned.recipes)}.")
    kind = task.partition(":")[0]  # a fold, or a folder, is learned as its data set is
    sizes = replace(system.configure(kind, profile), **{"channels": learned.channels} | (config or {}))
    changed = system.recipes.get(kind, {}) | system.recipes.get((kind, profile), {}) | (recipe or {})
    return Job(task, model, profile, resolve_seed(seed), sizes, replace(learned.recipes[profile], **changed))


def build(job: Job) -> Model:
    """The job's model with its initial weights, a function of the seed alone."""
    torch.manual_seed(job.seed)
    return find_system(job.model).build(job.config, find_task(job.task).question)
