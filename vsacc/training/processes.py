"""One training on several devices: how many processes there are, and what each one's share of the work is.

Without torchrun or srun it is one process on one device, wherever it runs: a notebook can start no others.

Process r of W takes part r of every batch. The parts are equal, so the mean over processes of their gradients is the
gradient of the whole batch, and W changes nothing but what each process draws or measures by itself: its sampling noise
and, in models with batch norm, the statistics of its part (the running ones are those of process 0). All processes must
see the same data folder."""

import os
from itertools import zip_longest

import torch
from torch import Tensor, nn
from torch import distributed as dist

from ..local.paths import UserError


def processes_and_nodes() -> tuple[int, int]:
    """Processes a node, one device each, and nodes of the run that this process belongs to, as its starter says. Raises
    UserError where SLURM was asked in a way that leaves the processes of a node open."""
    # Here, because importing it takes seconds that only a training should pay.
    from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

    if TorchElasticEnvironment.detect():
        local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        return local, world // local
    # A job's batch script sees the variables of all its tasks too, but only srun starts them and numbers the step.
    if "SLURM_STEP_ID" in os.environ and SLURMEnvironment.detect():
        tasks, nodes = int(os.environ["SLURM_NTASKS"]), int(os.environ["SLURM_NNODES"])
        if tasks > 1 and "SLURM_NTASKS_PER_NODE" not in os.environ:
            raise UserError(f"ask SLURM for --ntasks-per-node={tasks // nodes} instead of --ntasks={tasks}.")
        return tasks // nodes, nodes
    return 1, 1


def device() -> str:
    """Where everything runs, "cuda" or "cpu": one rule for training, notebooks and commands. Apple's mps lacks some of
    the operations, and none of this was tried on it."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def has_bfloat16(place: torch.device) -> bool:
    """Whether a CPU multiplies in bfloat16, which is otherwise slower than float32."""
    return place.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def launch(precision: str | None = None):
    """A Fabric that has joined the other processes, if there are any; on a GPU each where there is one. precision:
    Fabric's name of it; None is bf16-mixed on a GPU and 32-true on a CPU. Raises UserError where this node has fewer
    GPUs than processes."""
    from lightning_fabric import Fabric  # here, see above
    from lightning_fabric.plugins.environments import LightningEnvironment

    precision = precision or ("bf16-mixed" if device() == "cuda" else "32-true")
    processes, nodes = processes_and_nodes()
    if torch.cuda.is_available() and processes > (devices := torch.cuda.device_count()):
        raise UserError(f"{processes} processes on this node see {devices} GPU, start one a GPU and let each see all.")
    # Parameters that a configuration leaves unused get no gradient, and DDP would wait for it.
    strategy = "auto" if processes * nodes == 1 else "ddp_find_unused_parameters_true"
    # Alone it is, also where a batch script or a notebook of a SLURM job has the variables of many.
    plugins = LightningEnvironment() if processes * nodes == 1 else None
    sizes = {"devices": processes, "num_nodes": nodes}
    fabric = Fabric(accelerator=device(), strategy=strategy, precision=precision, plugins=plugins, **sizes)
    fabric.launch()
    return fabric


def part_of(batch: int, rank: int, world: int) -> slice:
    """The images of a batch that process ``rank`` of ``world`` takes. Raises UserError where the parts would not be
    equal, or of a single image, which has no spread."""
    if world > 1 and (batch % world or batch < 2 * world):
        raise UserError(
            f"{world} processes cannot share batches of {batch} in equal parts of two images or more, "
            "start a smaller divisor of it."
        )
    size = batch // world
    return slice(rank * size, (rank + 1) * size)


def rank_and_world() -> tuple[int, int]:
    """This process's number and how many there are; 0 and 1 before :func:`launch` and where it is alone."""
    joined = dist.is_available() and dist.is_initialized()
    return (dist.get_rank(), dist.get_world_size()) if joined else (0, 1)


def agree_on_buffers(model: nn.Module) -> None:
    """Give every process the buffers of process 0; parameters are the same already."""
    if rank_and_world()[1] > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def put_together(columns: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
    """Lists whose items the processes made in turn (item i of process r is number i * world + r), in that order and
    whole, on every process. They come back on the CPU."""
    columns = {name: [value.cpu() for value in values] for name, values in columns.items()}
    _, world = rank_and_world()
    if world == 1:
        return columns
    every: list = [None] * world
    dist.all_gather_object(every, columns)
    # Process 0 has made the first item of each, the others may have come away empty.
    return {
        name: [v for turn in zip_longest(*(own.get(name, []) for own in every)) for v in turn if v is not None]
        for name in every[0]
    }
