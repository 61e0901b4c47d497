"""One door: each command says how it is used, reaches a function that takes its options, and starts without torch."""

import argparse
import importlib
import inspect
import io
import re
import shlex
import subprocess
import sys
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from vsacc import __main__ as door
from vsacc.local.paths import CHECKOUT, NOTEBOOKS, UserError


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Every parser below this one, by what is typed to reach it."""
    nested = [a.choices.values() for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return {found.prog: found for parsers in nested for sub in parsers for found in [sub, *commands(sub).values()]}


FUNCTIONS = ("command", "refresh", "prepare", "reproduce")
COMMANDS = commands(door._parser())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_shows_an_example_that_reaches_a_function_of_its_options(name, monkeypatch):
    text, reached = COMMANDS[name].format_help(), []
    example = text.partition("example:\n")[2].strip()
    assert example.startswith(name) and COMMANDS[name].description in text
    if name == "vsacc page":
        return

    def module(file: str, package: str) -> SimpleNamespace:
        real = importlib.import_module(file, package)

        def record(function):
            return lambda *given, **named: reached.append(inspect.signature(function).bind(*given, **named))

        return SimpleNamespace(**{key: record(value) for key, value in vars(real).items() if inspect.isfunction(value)})

    monkeypatch.setattr(door, "import_module", module)
    with pytest.raises(SystemExit) as left:
        door.main(shlex.split(example)[1:])
    assert not left.value.code and len(reached) == 1


@pytest.mark.parametrize(
    ("typed", "code", "told"),
    [
        ("--help", 0, "COMMAND --help"),
        ("", 2, "reproduce"),
        ("nonsense", 2, "invalid choice: 'nonsense'"),
        ("train --task one_digit --nonsense", 2, "unrecognized arguments: --nonsense"),
        ("train", 2, "--task --photographs is required"),
        ("bench nonsense", 2, "invalid choice"),
        ("prepare fivek --limit 0", 2, "0 is not a whole number from 1 on"),
        ("page", 2, "later version"),
    ],
)
def test_the_door_answers_without_torch(typed, code, told):
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('torch' in sys.modules, 'numpy' in sys.modules))\n"
        "from vsacc.__main__ import main\n"
        "main(sys.argv[1:])"
    )
    done = subprocess.run([sys.executable, "-c", program, *typed.split()], capture_output=True, text=True)
    assert done.returncode == code and told in done.stdout + done.stderr
    assert done.stdout.endswith("False False\n") and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        (UserError("do this."), 2, "vsacc: do this.\n"),
        (KeyboardInterrupt(), 130, "vsacc: stopped.\n"),
        ([1], 1, ""),  # the command's own exit code
    ],
)
def test_a_mistake_and_a_stop_leave_with_one_sentence_and_their_exit_code(monkeypatch, capsys, given, code, told):
    monkeypatch.setattr(door, "import_module", lambda *_: SimpleNamespace(command=Mock(side_effect=given)))
    with pytest.raises(SystemExit) as left:
        door.main(["budget"])
    assert left.value.code == code and capsys.readouterr() == ("", told)
    monkeypatch.setattr(door, "import_module", lambda *_: SimpleNamespace(command=lambda _: 1 // 0))
    with pytest.raises(ZeroDivisionError):  # others are not hidden
        door.main(["budget"])


def test_what_the_terminal_cannot_show_is_shown_in_other_letters(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", write_through=True)
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr(door, "import_module", lambda *_: SimpleNamespace(command=lambda _: print("\u732b \udce9")))
    with pytest.raises(SystemExit):
        door.main(["budget"])
    assert terminal.buffer.getvalue().split() == [b"\\u732b", b"\\udce9"]


def test_the_public_names_are_imported_when_they_are_used():
    program = "import sys, vsacc; print('torch' in sys.modules, all(map(vsacc.__dir__().count, vsacc.__all__)))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False True\n"
    import vsacc

    assert all(getattr(vsacc, name).__name__ == name for name in vsacc.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = vsacc.nonsense


@pytest.mark.parametrize("name", ["README.md", "data/README.md", "CONTRIBUTING.md", "Makefile"])
def test_every_command_in_the_texts_is_one(name, monkeypatch, capsys):
    monkeypatch.setattr(
        door, "import_module", lambda *_: SimpleNamespace(**dict.fromkeys(FUNCTIONS, lambda *_, **__: 0))
    )
    found = re.findall(
        r"`(vsacc [^`]+)`|^(?: {4}|\S*/|\t\S*/)?(vsacc [^|\n#]+)", (CHECKOUT / name).read_text(), re.MULTILINE
    )
    assert len(found) > 4
    for typed in map("".join, found):
        with pytest.raises(SystemExit) as left:
            door.main(shlex.split(re.sub(r"[\[\]]|\.\.\.|COMMAND", "", typed))[1:])
        assert left.value.code == 0, f"{typed}: {capsys.readouterr().err}"


def test_no_text_or_message_names_a_command_or_a_file_that_went():
    texts = [CHECKOUT / "data" / "README.md", *CHECKOUT.glob("*.md")]
    for path in [*texts, *NOTEBOOKS.glob("*.ipynb"), *(CHECKOUT / "vsacc").rglob("*.py")]:
        assert "python -m vsacc." not in path.read_text(), path.name
    named = {name for path in texts for name in re.findall(r"`((?:vsacc|tests|notebooks)/[\w/.]*)`", path.read_text())}
    assert len(named) > 10 and not [name for name in named if not (CHECKOUT / name).exists()]
