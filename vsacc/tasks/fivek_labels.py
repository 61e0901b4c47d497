"""What is known of FiveK's photographs without looking at them: name, class, split, camera.

Two sources tell it: the community's {training,validation,testing}.json with their fixed random split of
3500/500/1000 photographs (github.com/yuukicammy/mit-adobe-fivek-dataset), or the official archive's categories.txt,
which has no split: each name then falls into one by its hash, in the same shares.

Six subjects are the classes; for the fifth the archive writes "None" and the community "unknown".
"""

import json
from pathlib import Path
from typing import NamedTuple

from ..local.paths import UserError
from .splits import split_of

CLASSES = ("abstract", "animals", "man_made", "nature", "None", "people")
ALIASES = {"manmade": "man_made", "none": "None", "unknown": "None", "": "None"}
SPLITS = {"training": "train", "validation": "validation", "testing": "test"}  # name of the JSON file: split
BASES = ("", "MITAboveFiveK", "fivek_dataset", "raw/fivek_dataset", "MITAboveFiveK/raw/fivek_dataset")
HELP = "python -m vsacc.tasks.fivek prepare"


class Record(NamedTuple):
    """A photograph of FiveK. name: the file's stem, as a0001-jmac_DSC1459; label: place in CLASSES; camera: folder of
    its DNG in the community's layout; licence: Adobe, AdobeMIT or stand-in."""

    name: str
    label: int
    split: str
    camera: str
    licence: str


def find_labels(root: Path | str) -> Path | None:
    """The folder of the JSON files or the path of categories.txt, whichever is there; None where none is."""
    folders = [Path(root) / base for base in BASES]
    json_folders = [folder for folder in folders if any((folder / f"{name}.json").exists() for name in SPLITS)]
    lists = [folder / "categories.txt" for folder in folders if (folder / "categories.txt").exists()]
    return next(iter(json_folders + lists), None)


def read_records(root: Path | str) -> list[Record]:
    """All photographs that the labels below ``root`` name, whether their files are there or not, train split first.

    Raises UserError where there are no labels, or some that are incomplete, damaged or not FiveK's.
    """
    labels = find_labels(root)
    if labels is None:
        files = ", ".join(f"{name}.json" for name in SPLITS)
        raise UserError(f"{root} has neither {files} nor categories.txt, fetch them with {HELP}.")
    if labels.is_dir():
        records = [record for name in SPLITS for record in read_json(labels / f"{name}.json", SPLITS[name])]
    else:
        records = sorted(read_categories(labels), key=lambda record: list(SPLITS.values()).index(record.split))
    check_names(records)
    return records


def read_json(path: Path, split: str) -> list[Record]:
    """One of the community's files: {name: {"categories": {"subject": ...}, "camera": {...}, "license": ...}}."""
    try:
        content = json.loads(path.read_text())
        return [
            Record(name, label_of(entry["categories"]["subject"], name), split,
                   f"{entry['camera']['make']}_{entry['camera']['model']}".replace(" ", "_"), entry["license"])
            for name, entry in content.items()
        ]  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise UserError(f"{path} cannot be read ({reason}), delete it and fetch it again with {HELP}.") from error


def read_categories(path: Path) -> list[Record]:
    """The official list, a line each: name,location,time,light,subject."""
    records = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        fields = [field.strip() for field in line.split(",")]
        if fields == [""]:
            continue
        if len(fields) != 5:
            raise UserError(f"{path} line {number} has {len(fields)} fields instead of 5, take it from "
                            "fivek_dataset.tar again.")  # fmt: skip
        records.append(Record(fields[0], label_of(fields[4], fields[0]), split_of(fields[0]), "", ""))
    return records


def label_of(subject: str, name: str) -> int:
    """The number of a class in CLASSES, however it is spelt."""
    plain = subject.strip().replace("-", "_").replace(" ", "_")
    plain = ALIASES.get(plain.lower(), plain.lower())
    if plain not in CLASSES:
        raise UserError(f"{name} has the subject {subject!r}, which is none of {', '.join(CLASSES)}, "
                        f"fetch the labels again with {HELP}.")  # fmt: skip
    return CLASSES.index(plain)


def check_names(records: list[Record]) -> None:
    """Raises UserError for a name that stands twice, and may be in two splits, or could lead out of its folder."""
    seen = set()
    for record in records:
        if record.name in seen:
            raise UserError(f"the labels name {record.name} twice, fetch them again with {HELP}.")
        if not record.name or record.name.startswith(".") or set(record.name + record.camera) & set("/\\\0"):
            raise UserError(f"the labels hold the name {record.name!r}, which could lead out of the folder, "
                            f"fetch them again with {HELP}.")  # fmt: skip
        seen.add(record.name)
