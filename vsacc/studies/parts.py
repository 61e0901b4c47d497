"""Where the time of a saccader goes: its parts run one by one on what each is given inside the model."""

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..saccader import Saccader
from ..sampler import Images, glimpse, proxy
from ..vrnn import Normal, kl_normal
from .cost_table import CONTENDERS, inference, random_images, training
from .measure import Work, measure


class Part(NamedTuple):
    """run: tensors in, a tensor or a tuple of them out; inputs: those that a gradient flows back to in training."""

    run: Callable[..., Tensor | tuple[Tensor, ...]]
    inputs: tuple[Tensor, ...] = ()


def shares(side: int, batch: int, rounds: int, budget: float, progress: bool = True) -> list[dict]:
    """A row per part and mode, and one named "whole" for the model in one piece: seconds per image, the bytes it holds
    on the way, "share" of the sum of all parts, "ratio" to the whole. The parts of a training step are run forward and
    backward; the optimiser is one more."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = random_images(batch, 1, side, device)
    rows = []
    for mode in ("inference", "training"):
        model = CONTENDERS["saccader"].make(1).to(device, memory_format=torch.channels_last).train(mode == "training")
        with torch.no_grad():
            parts = split(model, images)
        if mode == "training":
            works = {name: forward_backward(part, model) for name, part in parts.items()}
            works |= {"optimiser": optimiser_step(model), "whole": training(model, images)}
        else:
            works = {name: forward(part) for name, part in parts.items()} | {"whole": inference(model, images)}
        costs = measure(works, rounds, budget, f"parts, {mode}" if progress else None)
        total = sum(cost.seconds for name, cost in costs.items() if name != "whole")
        for name, cost in costs.items():
            rows.append({
                "part": "parts", "name": name, "method": "saccader", "mode": mode, "side": side, "channels": 1,
                "batch": batch, "seconds": cost.seconds / batch, "bytes": cost.bytes, "calls": cost.calls,
                "share": None if name == "whole" else cost.seconds / total,
                "ratio": cost.seconds / costs["whole"].seconds,
            })  # fmt: skip
    return rows


def split(model: Saccader, images: Images) -> dict[str, Part]:
    """The parts of a forward pass in order; the last one that ends in it gives the model's logits."""
    config, vrnn = model.config, model.vrnn
    c = proxy(images, config.proxy)

    def look() -> tuple[Tensor, ...]:
        features, state = vrnn.observe(c), vrnn.start(len(c))
        steps = []
        for _ in range(config.glimpses):
            step, state = model.saccade(features, state)
            steps.append((step.z, step.state.hidden, *step.posterior, *step.prior))
        z, *others = (torch.stack(column) for column in zip(*steps, strict=True))  # (T, B, ...) each
        return vrnn.where(z.transpose(0, 1)), z, *others

    def explain(z: Tensor, hidden: Tensor, *beliefs: Tensor) -> tuple[Tensor, Tensor]:
        return vrnn.log_proxy(c, z, hidden), kl_normal(Normal(*beliefs[:2]), Normal(*beliefs[2:]))

    where, *latent = look()
    o = glimpse(images, where, config.size)  # (B, T, C, L, L)
    read = model.crop(o.flatten(0, 1)).unflatten(0, o.shape[:2])  # (B, T, F)
    return {
        "proxy": Part(lambda: proxy(images, config.proxy)),
        "VRNN": Part(look),
        "sampler": Part(lambda where: glimpse(images, where, config.size), (where,)),
        "crop network": Part(lambda o: model.crop(o.flatten(0, 1)), (o,)),
        "decoder and KL": Part(explain, tuple(latent)),
        "likelihood": Part(model.likelihood, (read,)),
    }


def forward(part: Part) -> Work:
    @torch.no_grad()
    def work() -> None:
        part.run(*part.inputs)

    return work


def forward_backward(part: Part, model: Saccader) -> Work:
    def work() -> None:
        output = part.run(*(value.detach().requires_grad_() for value in part.inputs))
        outputs = output if isinstance(output, tuple) else (output,)
        taught = [value for value in outputs if value.requires_grad]
        if taught:
            torch.autograd.backward(taught, [torch.ones_like(value) for value in taught])
            model.zero_grad()

    return work


def optimiser_step(model: Saccader) -> Work:
    """AdamW on a copy, whose gradients stay."""
    twin = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(twin.parameters())
    for parameter in twin.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return optimizer.step
