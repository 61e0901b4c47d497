"""MIT-5k: MIT-Adobe FiveK (Bychkovsky et al., CVPR 2011), 5000 photographs, of which six subjects are the classes.

``vsacc prepare fivek`` fetches what is missing of one source and develops it once into a training store. A source is
"dng", the raw files (50 GB), or "a" to "e", one expert's 16-bit TIFFs (260 GB each). Files that came another way, such
as fivek_dataset.tar unpacked, are found anywhere below its ``--root``: *.dng, and *.tif in a folder such as tiff16_c.

Name, class and split are told by the community's {training,validation,testing}.json with their fixed random split of
3500/500/1000 photographs (github.com/yuukicammy/mit-adobe-fivek-dataset).

The licences forbid to hand photographs on: data.csail.mit.edu/graphics/fivek/legal/LicenseAdobe{,MIT}.txt."""

import json
from pathlib import Path
from typing import NamedTuple

from ..images.download import Failure, Job, download_all
from ..images.store_writing import Photo
from ..local.paths import DOWNLOADS, UserError, check_room
from . import Printed
from .photographs import SIDE, develop_all
from .standin import FIVEK

FOLDER = DOWNLOADS / FIVEK.name
CLASSES = tuple(FIVEK.classes)
FILES = {"training": "train", "validation": "validation", "testing": "test"}  # of labels: split
SITE = "https://data.csail.mit.edu/graphics/fivek/img"
LABELS = "https://huggingface.co/datasets/yuukicammy/MIT-Adobe-FiveK/raw/main"
LABEL_FILES = {  # name: (bytes, sha256)
    "training.json": (3495257, "f37918e6b9a3adb2432613bda12c9aa682b2e9a6efb520f427612341c52b9945"),
    "validation.json": (499137, "6e93d27f0d29fbf8d86781ba45b5268d22eda1a2682b7a2933d2d876b83e0722"),
    "testing.json": (997102, "c87a4b8ef9d28794ef0b424375fa2b78a8e845f6204df198117f6261d4c08a60"),
}
MEAN = {"dng": 10e6, "tif": 52e6}  # bytes a file, to know beforehand whether the disk will do
HELP = "vsacc prepare fivek"


PATTERNS = {"dng": "*.dng"} | {expert: f"tiff16_{expert}/*.tif" for expert in "abcde"}  # source: its files
TASK = FIVEK.task(
    "mit5k",
    {f"{HELP} --source {source}": pattern for source, pattern in PATTERNS.items()},
    published=(
        Printed(2528, "resnet18_144", "resnet18 - 144 crops", 0.636, 0.03),
        Printed(2528, "saccader", "variational saccading", 0.627, 0.03),
    ),
)


class Record(NamedTuple):
    """A photograph of FiveK. name: the file's stem, as a0001-jmac_DSC1459; label: place in CLASSES."""

    name: str
    label: int
    split: str


def read_records(root: Path) -> list[Record]:
    """All photographs that the labels below ``root`` name, whether their files are there or not. A file of labels holds
    {name: {"categories": {"subject": ...}}}. Raises UserError where one is lacking or damaged, or a name stands twice,
    and may be in two splits, or could lead out of its folder."""
    first, records = next(root.rglob("training.json"), root / "training.json"), {}
    for name, split in FILES.items():
        path = first.with_stem(name)
        try:
            for photo, entry in json.loads(path.read_text()).items():
                subject = entry["categories"]["subject"].replace("unknown", "None")
                if photo in records or subject not in CLASSES:
                    raise ValueError(f"{photo} is there twice or of no class")
                if not photo or photo.startswith(".") or set(photo) & set("/\\\0"):
                    raise ValueError(f"the name {photo!r} could lead out of the folder")
                records[photo] = Record(photo, CLASSES.index(subject), split)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            raise UserError(f"{path} cannot be read ({reason}), delete it and fetch it again with {HELP}.") from error
    return list(records.values())


def find_files(root: Path, source: str) -> dict[str, Path]:
    """Name -> path of a source's files below ``root``. Looked for by listing: no name in the labels becomes a path."""
    return {path.stem: path for path in root.rglob(PATTERNS[source])}


def prepare(
    root: Path | None = None,
    source: str = "c",
    side: int = SIDE,
    only_class: str | None = None,
    limit: int | None = None,
    workers: int = 4,
) -> int:
    """Fetch and develop into ``root``/stores; returns the exit code, 1 where photographs could not be had. Files that
    the site does not hold are left out; where others failed, nothing is developed yet and the next run goes on."""
    if only_class not in (None, *CLASSES):
        raise UserError(f"FiveK has no class {only_class!r}, choose one of {', '.join(CLASSES)}.")
    root = root or FOLDER
    fetch_labels(root)
    records = choose(read_records(root), only_class, limit)
    failures = fetch(root, source, records, workers)
    for failure in failures:
        print(failure.reason)
    if not all(failure.final for failure in failures):
        print(f"{len(failures)} of {len(records)} photographs are missing, run this again to go on.")
        return 1
    files = find_files(root, source)
    photos = [Photo(r.name, files[r.name], r.label, r.split) for r in records if r.name in files]
    made = "DNG developed by LibRaw" if source == "dng" else f"retouched by expert {source.upper()}"
    folder = root / "stores" / "-".join(filter(None, [source, str(side), only_class]))
    left_out = develop_all(folder, photos, CLASSES, side, f"{FIVEK.data}, {made}", prophoto=source != "dng")
    print(*left_out, f"{len(photos) - len(left_out)} photographs in {folder}", sep="\n")
    return 1 if failures or left_out else 0


def fetch_labels(root: Path) -> None:
    """Bring the three JSON files where no labels are, or what is lacking of them."""
    found = next(root.rglob("training.json"), None)
    if found and found.stat().st_size != LABEL_FILES["training.json"][0]:
        return  # other labels than the community's
    folder = found.parent if found else root
    failures = download_all([Job(f"{LABELS}/{name}", folder / name, *LABEL_FILES[name]) for name in LABEL_FILES])
    if failures:
        raise UserError(f"{failures[0].reason.rstrip('.')}, or put {', '.join(LABEL_FILES)} into {folder} by hand.")


def choose(records: list[Record], only_class: str | None = None, limit: int | None = None) -> list[Record]:
    """The first ``limit`` photographs of a class or of all, in an order that keeps the shares of the splits throughout:
    a larger limit goes on where a smaller one ended, and so does the store."""
    ranks = []
    for split in FILES.values():
        part = [r for r in records if r.split == split and only_class in (None, CLASSES[r.label])]
        ranks += [((place + 0.5) / len(part), record) for place, record in enumerate(part)]
    return [record for _, record in sorted(ranks, key=lambda rank: rank[0])][:limit]


def fetch(root: Path, source: str, records: list[Record], workers: int) -> list[Failure]:
    """Bring the files of ``records`` that are lacking. Raises UserError where the disk is too small for them."""
    found = find_files(root, source)
    lacking = [record for record in records if record.name not in found]
    folder, kind = ("dng", "dng") if source == "dng" else (f"tiff16_{source}", "tif")
    check_room(root, len(lacking) * MEAN[kind], "name another")
    files = [f"{folder}/{record.name}.{kind}" for record in lacking]
    return download_all([Job(f"{SITE}/{file}", root / file) for file in files], workers)
