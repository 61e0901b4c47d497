"""Where the time of a step goes, and how long an epoch of training takes.

The first runs the parts of a saccader one by one on what each is given inside the model. The second runs the training
itself (:func:`vsacc.training.fit.train_step` on images drawn on the device) in float32 and in mixed precision, STEPS
steps without waiting for the device in between. An epoch is as many images as the paper's. The third runs the same
training on large canvases and on small ones, of the same configuration and batch."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from ..saccader import Saccader, mean, sample
from ..sampler import Images, glimpse, proxy
from ..tasks import open_split
from ..training.fit import set_up, train_step
from ..training.jobs import Job, make_job
from ..training.processes import launch
from ..vrnn import Normal, kl_normal
from .cost import CONTENDERS, SIZES, WORK, Size, adam, random_images
from .measure import DEVICE, Work, measure
from .table1 import EPOCH

STEPS = 5  # of training in one timed call
SMALL = {"identification_2528": "identification", "megapixel": "megapixel_easy"}  # a large canvas, and a small one
EPOCHS = {  # batch by task, None for the recipe's
    "quick": {"identification": 4},
    "laptop": {"identification": 128, "identification_2528": 8},
    "paper": {"identification": None, "identification_2528": None},
}


def time_shares(size: Size) -> list[dict]:
    """A row per part and mode, and one named "whole" for the model in one piece: seconds per image, the bytes it holds
    on the way, "share" of the sum of all parts, "ratio" to the whole. The parts of a training step are run forward and
    backward; the optimiser is one more."""
    side, batch = size.parts
    images, rows = random_images(batch, 1, side), []
    for mode, whole in WORK.items():
        model = CONTENDERS["saccader"].make(1).train(mode == "training")
        with torch.no_grad():
            parts = split(model, images)
        works = {name: torch.no_grad()(partial(*part)) for name, part in parts.items()}
        if mode == "training":
            works = {name: partial(forward_backward, model, *part) for name, part in parts.items()}
            works["optimiser"] = adam(copy.deepcopy(model)).step
        works["whole"] = whole(model, images)
        costs = measure(works, size.rounds, size.budget, f"parts, {mode}" if size.progress else None)
        total = sum(cost.seconds for name, cost in costs.items() if name != "whole")
        for name, cost in costs.items():
            rows.append({
                "part": "parts", "name": name, "method": "saccader", "mode": mode, "side": side, "channels": 1,
                "batch": batch, "seconds": cost.seconds / batch, "bytes": cost.bytes, "calls": cost.calls,
                "share": None if name == "whole" else cost.seconds / total,
                "ratio": cost.seconds / costs["whole"].seconds,
            })  # fmt: skip
    return rows


def split(model: Saccader, images: Images) -> dict[str, tuple]:
    """The parts of a forward pass in order, the last one gives the logits: what is run, and on which tensors, those
    that a gradient flows back to in training."""
    config, vrnn = model.config, model.vrnn
    c = proxy(images, config.proxy)
    shown = copy.copy(model)  # the same weights, but it is given the proxy, whose time is another part's
    shown.see = lambda images, steps: (c, [vrnn.observe(c)] * steps)

    def look() -> tuple[Tensor, ...]:
        roll = shown.roll_out(images, config.glimpses, sample if model.training else mean)
        return roll.where, roll.z, roll.hidden, *roll.posterior  # (T, B, ...) each but the first

    def explain(z: Tensor, hidden: Tensor, *posterior: Tensor) -> tuple[Tensor, Tensor]:
        return vrnn.log_proxy(c, z, hidden), kl_normal(Normal(*posterior), vrnn.prior(hidden))

    where, *latent = look()
    o = glimpse(images, where, config.size)  # (B, T, C, L, L)
    read = model.crop(o.flatten(0, 1)).unflatten(0, o.shape[:2])  # (B, T, F)
    parts = {
        "proxy": (lambda: proxy(images, config.proxy),),
        "VRNN": (look,),
        "sampler": (lambda where: glimpse(images, where, config.size), where),
        "crop network": (lambda o: model.crop(o.flatten(0, 1)), o),
        "likelihood": (lambda read: model.after_each(read, where), read),
    }
    return parts | ({"decoder and KL": (explain, *latent)} if model.training else {})


def forward_backward(module: nn.Module, run: Callable[..., Tensor | tuple[Tensor, ...]], *inputs: Tensor) -> None:
    """What one training step asks of a part of ``module``, whose gradients are gone afterwards."""
    output = run(*(value.detach().requires_grad_() for value in inputs))
    outputs = output if isinstance(output, tuple) else (output,)
    taught = [value.sum() for value in outputs if value.requires_grad]
    if taught:
        sum(taught).backward()
        module.zero_grad()


def epoch(profile: str) -> list[dict]:
    """A row per task and precision."""
    rows = []
    for task, batch in EPOCHS[profile].items():
        job = make_job(task, profile, recipe={"batch": batch} if batch else None)
        mixed = ("glimpses in bfloat16", "32-true", True) if DEVICE == "cpu" else ("bf16-mixed", "bf16-mixed", False)
        ways = ("32-true", "32-true", False), mixed
        works = {name: training_steps(job, precision, half) for name, precision, half in ways}
        costs = measure(works, SIZES[profile].rounds, SIZES[profile].budget, task)
        for precision, cost in costs.items():
            seconds = cost.seconds / STEPS / job.recipe.batch
            rows.append({
                "task": task, "profile": profile, "precision": precision, "batch": job.recipe.batch,
                "seconds": seconds, "epoch_seconds": EPOCH * seconds, "bytes": cost.bytes, "calls": cost.calls,
                "ratio": cost.seconds / costs["32-true"].seconds,
            })  # fmt: skip
    return rows


def canvases(profile: str) -> list[dict]:
    """Two rows per large canvas, the small one first: seconds of an image and peak bytes of a step, the images drawn in
    it. "ratio" is the median over the rounds of the time over the small one's of the same round, between the quartiles
    "low" and "high"; "memory_ratio" is of the bytes."""
    rows = []
    for large, small in SMALL.items():
        job = make_job(large, profile)
        works = {task: training_steps(replace(job, task=task), "32-true", False) for task in (small, large)}
        costs = measure(works, 2 * SIZES[profile].rounds, title=large)
        for task, cost in costs.items():
            rows.append({
                "task": task, "profile": profile, "batch": job.recipe.batch, "calls": cost.calls,
                "seconds": cost.seconds / STEPS / job.recipe.batch, **cost.over(costs[small]),
                "bytes": cost.bytes, "memory_ratio": cost.bytes / costs[small].bytes,
            })  # fmt: skip
    return rows


def training_steps(job: Job, precision: str, half: bool) -> Work:
    """STEPS steps of the job from its initial weights on; each call goes on from the last."""
    fabric, data = launch(precision), open_split(job.task, "train", DEVICE, job.profile)
    model, optimizer = set_up(fabric, job, half)

    def work() -> None:
        for number in range(STEPS):
            batch = data.draw(job.recipe.batch, job.seed, number)
            train_step(fabric, model, optimizer, job.recipe, batch, job.seed, number)

    return work
