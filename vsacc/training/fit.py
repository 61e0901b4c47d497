"""Train a model on a task: one loop for every system, task, device and profile.

    vsacc train --task one_digit --profile laptop --seed 0 --out result.json
    torchrun --nproc-per-node 4 -m vsacc train --task identification --profile paper --resume
    srun --nodes 2 --ntasks-per-node 4 --gres gpu:4 python -m vsacc train --task identification --profile paper --resume

It is one process on one device unless torchrun or srun start more, see :mod:`vsacc.training.processes`.

Step k is a function of the weights, the optimiser's state, the seed and k (and of the number of processes, which draw
noise of their own): data and noise are seeded afresh at every step. A checkpoint therefore needs no state of random
generators, and a run that was killed and resumed ends, on a CPU, bit-equal to one that was not."""

import argparse
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..local.paths import RUNS, UserError, check_out, check_room, locked
from ..local.record import provenance
from ..loss import correct, lower_bound
from ..reading import CropNetwork
from ..tasks import Batch, Recipe, Split, derive, find_task, open_split
from .evaluation import evaluate, fit_temperatures, spread
from .jobs import Job, build, make_job
from .processes import has_bfloat16, launch, part_of, rank_and_world
from .weights import job_of, save_weights

CHECKPOINT_EVERY = 60  # seconds
NOISE, LOOKS = 2, 4  # the purposes of these streams among all that derive from one seed
SHOWN = ("loss", "accuracy", "log_y", "log_c", "kl", "scale", "spread")  # what a step says of itself
COLLAPSED = 0.04  # spread of the places, in half sides, below which every image is looked at in the same places ...
BEGUN = 300  # ... and steps before which that may be a beginning


class Stopped(UserError):
    """A training that was given up. It is a function of the job, and so a result of it."""


class Run(NamedTuple):
    """A finished training. history: a row per log interval; seconds: of training, over all its interruptions; made:
    provenance, taken when it first started."""

    model: nn.Module
    job: Job
    history: list[dict[str, float]]
    seconds: float
    made: dict


def learning_rate(recipe: Recipe, step: int) -> float:
    """One cycle: a cosine up to the peak over the warm-up, a cosine down to zero over the rest."""
    rise = recipe.warmup * recipe.steps
    if step < rise:
        share = (1 - math.cos(math.pi * (step + 1) / rise)) / 2
        return recipe.learning_rate * max(share, 0.04)
    return recipe.learning_rate * (1 + math.cos(math.pi * (step - rise) / (recipe.steps - rise))) / 2


def fit(
    job: Job,
    resume: bool = True,
    progress: bool = True,
    precision: str | None = None,
    deadline: float = math.inf,
) -> Run:
    """Train, on a GPU where there is one, with a checkpoint about every minute under data/runs/<job>.

    Where the recipe asks for validations, the weights of the best of them are what is returned.

    Args:
        resume: go on from the job's checkpoint (a finished job returns at once); False starts afresh.
        progress: show a bar.
        precision: Fabric's name of it; None is bf16-mixed on a GPU, and on a CPU 32-true, but for glimpses, which are
            read in bfloat16 where the processor has it.
        deadline: leave with a checkpoint, to go on later, when time.monotonic() is past this at a row of the history.

    Raises Stopped, a UserError, when the bound is no longer a number or every image is looked at in the same places."""
    fabric, folder = launch(precision), RUNS / job.name
    with locked(folder) if fabric.is_global_zero else nullcontext():
        half = precision is None and has_bfloat16(fabric.device)
        return _fit(fabric, job, half, folder / "checkpoint.pt", resume, progress, deadline)


def _fit(fabric, job: Job, half: bool, checkpoint: Path, resume: bool, progress: bool, deadline: float) -> Run:
    recipe, part = job.recipe, part_of(job.recipe.batch, fabric.global_rank, fabric.world_size)
    with fabric.rank_zero_first():  # what has to be fetched or made is so once
        data = open_split(job.task, "train", fabric.device, job.profile)
        held_out = open_split(job.task, "validation", fabric.device, job.profile)
    model, optimizer = set_up(fabric, job, half)
    state = {"model": model, "optimizer": optimizer, "step": 0, "seconds": 0.0, "history": [], "best": {}}
    state["made"] = made = provenance(fabric.device)
    made["precision"] = "glimpses read in bfloat16" if half else str(fabric._precision.precision)
    if fabric.world_size > 1:
        made["device"] = f"{fabric.world_size} x {made['device']}"
    if fabric.is_global_zero:  # weights, Adam's two moments and the best weights: before any work is lost
        largest = 4 * sum(value.nbytes for value in model.state_dict().values())
        check_room(checkpoint.parent, largest, "make room or set VSACC_DATA")
    if fabric.broadcast(resume and checkpoint.exists()):
        state |= read_checkpoint(fabric, checkpoint, state)
        if state["step"] < recipe.steps and state["made"]["revision"] != made["revision"]:
            state["made"]["revision"] += f", then {made['revision']}"
    started = saved = time.monotonic()
    before, every = state["seconds"], max(1, recipe.steps // 100)
    # Evenly over the second half.
    validated = {round(recipe.steps - recipe.steps * k / (2 * recipe.validations)) for k in range(recipe.validations)}
    window: list[Tensor] = []
    bar = tqdm(total=recipe.steps, initial=state["step"], desc=job.task, disable=not progress or fabric.global_rank > 0)
    model.train()
    for batch in ahead(lambda step: data.draw(recipe.batch, job.seed, step, part), range(state["step"], recipe.steps)):
        step = state["step"]
        window.append(train_step(fabric, model, optimizer, recipe, batch, job.seed, step))
        state["step"] = step + 1
        bar.update()
        state["seconds"] = before + time.monotonic() - started
        if state["step"] % every == 0 or state["step"] in {recipe.steps, *validated}:
            means = fabric.all_reduce(torch.stack(window).mean(0)).tolist()  # since the last row, over the processes
            row = {"step": step + 1, "seconds": round(state["seconds"], 2), **dict(zip(SHOWN, means, strict=False))}
            if state["step"] in validated:
                row["validation"] = validate(model.module, held_out, state["best"])
            state["history"].append(row)
            window.clear()
            bar.set_postfix({key: f"{row[key]:.3g}" for key in SHOWN if key in row})
            stop_if_lost(row, recipe)
            now = time.monotonic()
            late, due = fabric.broadcast((now > deadline, now - saved > CHECKPOINT_EVERY))  # process 0 decides for all
            if late or due or state["step"] == recipe.steps:
                write_checkpoint(fabric, checkpoint, state)
                saved = time.monotonic()
            if late:
                break
    bar.close()
    if state["step"] == recipe.steps and state["best"]:
        model.module.load_state_dict(state["best"]["weights"])
    return Run(model.module, job, state["history"], state["seconds"], state["made"])


def set_up(fabric, job: Job, half: bool = False) -> tuple:
    """The initial model and its optimiser, on the fabric's device; :func:`train_step` sets the learning rate. half:
    glimpses are read in bfloat16."""
    model = build(job)
    for part in model.modules():
        if isinstance(part, CropNetwork):
            part.half = half
    decay = job.recipe.weight_decay
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=decay, fused=True)
    return fabric.setup(model, optimizer)


def ahead(draw: Callable[[int], Batch], steps: Iterable[int]) -> Iterator[Batch]:
    """Batches drawn in another thread while the last one is learned from, one ahead: the same in the same order."""
    with ThreadPoolExecutor(1) as drawer:
        coming = None
        for step in steps:
            waiting, coming = coming, drawer.submit(draw, step)
            if waiting:
                yield waiting.result()
        if coming:
            yield coming.result()


def validate(model: nn.Module, held_out: Split, best: dict) -> float:
    """Accuracy on the validation split; ``best`` keeps the weights of the highest, the last of equals."""
    accuracy = evaluate(model, held_out.fixed()).accuracy
    if accuracy >= best.get("accuracy", 0.0):
        weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        best |= {"accuracy": accuracy, "weights": weights}  # in place: the checkpoint holds it
    return accuracy


def train_step(fabric, model, optimizer, recipe: Recipe, batch: Batch, seed: int, step: int) -> Tensor:
    """One step of Adam on Eq. 6; returns the quantities of SHOWN that it saw, without waiting for the device."""
    # The sampling noise of this step and process; process 0 draws what a single one does.
    torch.manual_seed(derive(seed, step, NOISE, fabric.global_rank))
    model.module.anneal(step / recipe.steps)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(recipe, step)
    # The same number of glimpses in all processes.
    looks = recipe.looks[derive(seed, step, LOOKS) % len(recipe.looks)] if recipe.looks else None
    output = model(batch.images, looks)
    bound = lower_bound(
        output.logits, batch.labels, output.terms,
        recipe.weight_c, recipe.weight_kl, recipe.form, output.after, recipe.early,
    )  # fmt: skip
    optimizer.zero_grad()
    fabric.backward(bound.loss)
    for part in model.module.children():
        # Each on its own: the gradient of the places has heavy tails, and would shrink everybody's step with its own.
        nn.utils.clip_grad_norm_(part.parameters(), recipe.clip)
    optimizer.step()
    right = correct(output.logits, batch.labels).float().mean()
    seen = [bound.loss, right, *(term.mean() for term in (bound.log_y, bound.log_c, bound.kl))]
    if output.where is not None and len(output.where) > 1:
        seen += [output.where[..., 0].mean(), spread(output.where)]
    return torch.stack(seen).detach()


def stop_if_lost(row: dict[str, float], recipe: Recipe) -> None:
    """Raises Stopped where, at a row of the history, the bound is no longer a number or every image is looked at in the
    same places."""
    if not math.isfinite(row["loss"]):
        raise Stopped(
            f"training stopped at step {row['step']}: the bound is {row['loss']} "
            f"(log p(y) {row['log_y']:.3g}, log p(c) {row['log_c']:.3g}, KL {row['kl']:.3g}), lower the learning rate."
        )
    late = row["step"] >= max(0.75 * recipe.steps, BEGUN)
    if late and row.get("spread", 1.0) < COLLAPSED:
        raise Stopped(
            f"training stopped at step {row['step']}: every image is looked at in the same places "
            f"(spread {row['spread']:.3f}, mean scale {row['scale']:.2f}), broaden sigma or lower the ELBO's weights."
        )


def write_checkpoint(fabric, path: Path, state: dict) -> None:
    """All or nothing, so that a kill while writing leaves the checkpoint before. Raises UserError where it fails."""
    temporary = path.with_suffix(".tmp")  # of the process that holds the folder's lock
    try:
        fabric.save(temporary, state)
        if fabric.is_global_zero:
            os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch's writer raises the second
        temporary.unlink(missing_ok=True)
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"the checkpoint {path} cannot be written ({reason}), make room and start again.") from None
    fabric.barrier()


def read_checkpoint(fabric, path: Path, state: dict) -> dict:
    try:
        fabric.load(path, state, weights_only=True)
    except Exception as error:  # a checkpoint of another version or a broken disk: torch raises many kinds
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"the checkpoint in {path.parent} cannot be read ({reason}), delete that folder.") from None
    return {key: state[key] for key in ("step", "seconds", "history", "best", "made")}


def result(run: Run) -> dict:
    """Evaluate a finished run on its validation split, on which choices are made, and once on its test split:
    everything its JSON and its card hold."""
    job, question = run.job, find_task(run.job.task).question
    place = next(run.model.parameters()).device
    held_out, test = (open_split(job.task, name, place, job.profile) for name in ("validation", "test"))
    # What a folder's classes are, only the folder knows, and a card may travel without it.
    classes = {"classes": list(question.classes), "many": question.many} if ":" in job.task else {}
    run.model.temperatures = fit_temperatures(run.model, held_out.fixed(job.recipe.evaluated))
    validated = evaluate(run.model, held_out.fixed(job.recipe.evaluated))
    scores = evaluate(run.model, test.fixed(job.recipe.evaluated))
    return {
        "task": job.task, "model": job.model, "profile": job.profile, "seed": job.seed,
        "seconds": round(run.seconds, 1), "steps": len(run.history) and run.history[-1]["step"],
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "validation_accuracy": round(validated.accuracy, 5), "validation_log_y": round(validated.log_y, 4),
        "test_accuracy": round(scores.accuracy, 5), "localised": scores.localised and round(scores.localised, 5),
        "iou": scores.iou and round(scores.iou, 4), "scale": scores.scale and round(scores.scale, 4),
        "log_y": round(scores.log_y, 4), "ece": round(scores.ece, 4), 
        "temperatures": [round(each, 4) for each in run.model.temperatures],
        "protocol": f"{test.protocol}; {len(scores.labels)} fixed test images", **classes,
        **run.made, "evaluated_at": provenance()["revision"],
        "config": asdict(job.config), "recipe": asdict(job.recipe), "history": run.history,
    }  # fmt: skip


def command(options: argparse.Namespace) -> None:
    """``vsacc train``."""
    task = f"photographs:{options.photographs}" if options.photographs else options.task
    job = make_job(task, options.profile, options.system, options.seed)
    if options.out:
        check_out(options.out, lambda row: job_of(row) == job)
    row = result(run := fit(job, resume=options.resume))
    if rank_and_world()[0] > 0:  # one process tells for all
        return
    if options.out:
        save_weights(run.model, row, options.out.with_suffix(".safetensors"))
    shown = ("validation_accuracy", "localised", "scale", "seconds", "parameters")  # what a choice may rest on
    print(f"{job.name}: " + ", ".join(f"{key} {row[key]}" for key in shown))


@contextmanager
def one_thread():
    """Sums over several threads depend on how many there are: a run on one is the same on every machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
