"""The door: ``vsacc COMMAND`` = ``python -m vsacc COMMAND``, one parser for all commands.

It answers at once, because a command's code, and torch with it, is imported when the command runs. A wrong command or
option, and whatever the user can mend, ends with exit code 2 and one sentence on stderr.
"""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from .local.paths import UserError, resolve_profile

NOTEBOOK = "start of a notebook's name; may be repeated"
PROFILE = "quick, laptop, paper, or auto: VSACC_PROFILE, else paper where CUDA is present, else laptop"
TRAINING = f"{PROFILE}; or desk, up to 90 minutes of one thread"


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command and leave with its exit code."""
    # torch's threads wait for each other by spinning, by default so long that beside another busy program a step can
    # take many times as long; not at all, and each waits to be woken, which on an idle machine is slower still. torch
    # reads it when it is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # names that the terminal cannot show
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
        if options.run is None:
            parser.print_help()
            parser.exit(2)
        sys.exit(options.run(options))
    except UserError as error:
        parser.exit(2, f"vsacc: {error}\n")
    except BrokenPipeError:  # of "vsacc ... | head"; Python would complain once more when it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        parser.exit(130, "vsacc: stopped.\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vsacc",
        description="Classify very large images through a few glimpses: train, look, and regenerate every number.",
        epilog="vsacc COMMAND --help shows a command's options and an example.",
    )
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(metavar="COMMAND")

    train = _add(commands, "train", "training.fit", "train a model and test it", "--task one_digit --profile laptop")
    what = train.add_mutually_exclusive_group(required=True)
    what.add_argument("--task", help="what to learn, such as identification or colon:3")
    what.add_argument("--photographs", metavar="DIR", help="learn a folder of photographs, a folder in it for a class")
    train.add_argument("--system", default="saccader", help="who learns it; saccader unless given")
    train.add_argument("--profile", default="auto", help=TRAINING)
    train.add_argument("--seed", default=0)
    _out(train, "a .json for the result, the card of the weights beside it", "FILE.json")
    train.add_argument("--resume", action="store_true", help="go on from where an interrupted run stopped")

    look = _add(commands, "look", "look.look", "look at images with trained weights", "photo.jpg --out seen.png")
    look.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="JPEG, PNG, WebP, TIFF or DNG")
    look.add_argument("--weights", metavar="NAME", help="a model of data/weights by its name, or a file")
    says = "look no further once the likeliest class has this probability"
    look.add_argument("--stop", type=float, metavar="P", help=says)
    _out(look, "a .png for the picture of where the model looked", "FILE.png")

    report = _add(commands, "report", "report.report", "execute the notebooks into a report", "--only 02 --out pages")
    report.add_argument("--profile", default="auto", help=PROFILE)
    report.add_argument("--only", action="append", default=[], metavar="02", help=NOTEBOOK)
    _out(report, "folder of the report; reports unless given", "DIR")

    refresh = _add(commands, "refresh", "report.report:refresh", "renew what is committed", "--only readme")
    says = f"{NOTEBOOK}; or readme for its table, or pictures for its figures; else all three"
    refresh.add_argument("--only", action="append", default=[], metavar="02", help=says)

    reproduce = _add(commands, "reproduce", "studies.runs:reproduce", "run every system on every task", "--list")
    _runs(reproduce, "where the rows go; reports/runs unless given")
    reproduce.add_argument("--only", nargs="+", default=[], metavar="NAME", help="tasks, systems or whole rows")
    reproduce.add_argument("--budget-minutes", type=float, default=float("inf"), metavar="M", help="then stop")
    reproduce.add_argument("--weights", type=Path, metavar="DIR", help="keep the weights of what is finished there")

    sweep = _add(commands, "sweep", "studies.noise", "train and test the noise study of notebook 04", "--workers 4")
    _runs(sweep, "where the results go; reports/noise.json unless given")

    ablation = _add(commands, "ablation", "studies.ablation", "train a task with one choice changed at a time", "")
    ablation.add_argument("--task", default="one_digit")
    ablation.add_argument("--profile", default="laptop", help=PROFILE)
    ablation.add_argument("--seed", default=0)
    _out(ablation, "a .json for the rows; reports/ablation.json unless given", "FILE.json")

    budget = _add(commands, "budget", "studies.budget", "accuracy of the weights against glimpses and size", "")
    _out(budget, "a .json for the rows; reports/budget.json unless given", "FILE.json")

    bench = _add(commands, "bench", "studies.bench", "time and memory, measured", "sampler --out rows.json")
    bench.add_argument("benchmark", choices=["sampler", "cost", "epoch", "canvases"])
    bench.add_argument("--profile", default="auto", help=PROFILE)
    _out(bench, "a .json for the rows", "FILE.json")

    prepare = _add(commands, "prepare", None, "fetch, draw or develop a data set", "mnist")
    _prepare(prepare.add_subparsers(metavar="DATA", required=True))

    page = _add(commands, "page", None, "an explorer as a page that needs nothing", "")
    later = "pages come with a later version, use vsacc report or the sliders of notebook 05 until then."
    page.set_defaults(run=lambda _: page.error(later))
    return parser


def _prepare(data) -> None:
    """The sub-commands of prepare; their options are the arguments, with their defaults, of the tasks' ``prepare``."""
    _add(data, "mnist", "tasks.mnist:prepare", "fetch MNIST and verify it", "")

    fivek = _add(data, "fivek", "tasks.mit5k:prepare", "fetch MIT-Adobe FiveK and develop it", "--source c --limit 200")
    fivek.add_argument("--source", choices=("dng", *"abcde"), help="raw files or one expert's TIFFs, c unless given")
    fivek.add_argument("--limit", type=_positive, metavar="N", help="photographs, in the shares of the three splits")
    fivek.add_argument("--only-class", metavar="NAME", help="one subject of the six")
    fivek.add_argument("--workers", type=_positive, metavar="N", help="downloads at a time")
    fivek.add_argument("--root", type=Path, metavar="DIR", help="the data set's folder")
    fivek.add_argument("--side", type=_positive, help="pixels; photographs are squashed to squares")

    drawn = _add(data, "fivek-standin", "tasks.standin:prepare", "draw its stand-in", "--profile laptop")
    drawn.add_argument("--profile", type=resolve_profile, default="auto", help=PROFILE)

    signs = _add(data, "speed-limits", "tasks.speed_limits:prepare", "fetch the Swedish traffic signs", "--root signs")
    signs.add_argument("--root", type=Path, metavar="DIR", help="where the files are, or go")
    signs.add_argument("--side", type=_positive, help="pixels; frames are squashed to squares")

    colon = _add(data, "colon", "tasks.colon:prepare", "store the histopathology images you have", "--root crchisto")
    colon.add_argument("--root", type=Path, metavar="DIR", help="where CRCHistoPhenotypes lies")

    photographs = _add(data, "photographs", "tasks.photographs:prepare", "store a folder of your own", "holidays")
    photographs.add_argument("root", metavar="DIR", type=Path, help="a folder in it for a class")
    photographs.add_argument("--side", type=_positive, help="pixels; photographs are squashed to squares")
    _out(photographs, "folder of the store, else one in data/downloads/stores", "DIR")


def _add(commands, name: str, home: str | None, says: str, example: str) -> argparse.ArgumentParser:
    """A command that runs a function of a room: "room.file", whose ``command`` takes the options, or
    "room.file:function"; None for one that has commands of its own. Functions ``prepare`` take them one by one."""
    default = argparse.SUPPRESS if home and home.endswith(":prepare") else None
    parser = commands.add_parser(name, help=says, argument_default=default)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = says[0].upper() + says[1:] + "."
    parser.epilog = f"example:\n  {parser.prog} {example}".rstrip()
    if home:
        parser.set_defaults(run=lambda options: _run(home, options))
    return parser


def _run(home: str, options: argparse.Namespace) -> int | None:
    file, _, function = home.partition(":")
    run = getattr(import_module(f".{file}", __package__), function or "command")
    if function == "prepare":
        return run(**{name: value for name, value in vars(options).items() if name != "run"})
    return run(options)


def _out(parser: argparse.ArgumentParser, says: str, metavar: str) -> None:
    parser.add_argument("--out", type=Path, metavar=metavar, help=says)


def _runs(parser: argparse.ArgumentParser, out: str) -> None:
    """Options of a command that does many runs, here or on a cluster."""
    parser.add_argument("--profile", default="auto", help=TRAINING)
    parser.add_argument("--workers", type=_positive, metavar="N", help="runs at once, else one for each GPU or core")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a dask.distributed cluster, as tcp://head:8786")
    parser.add_argument("--list", action="store_true", help="show the runs and which of them are done")
    parser.add_argument("--out", type=Path, help=out)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 on")
    return int(text)


if __name__ == "__main__":
    main()
