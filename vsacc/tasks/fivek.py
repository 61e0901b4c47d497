"""MIT-Adobe FiveK (Bychkovsky et al., CVPR 2011): 5000 photographs, of which six subjects are the classes.

    python -m vsacc.tasks.fivek prepare [--source c] [--limit N] [--only-class people]

fetches what is missing of one source and develops it once into a training store. A source is "dng", the raw files
(50 GB), or "a" to "e", one expert's 16-bit TIFFs (260 GB each). Files that came another way are found where they lie:

    raw/<camera>/*.dng           processed/tiff16_c/*.tif    the community's layout, as this command fetches them
    img/dng/*.dng, dng/*.dng     img/tiff16_c/*.tif          the official site's, tiff16_c/*.tif too
    raw_photos/*/photos/*.dng                                fivek_dataset.tar, unpacked

The licences forbid to hand photographs on: data.csail.mit.edu/graphics/fivek/legal/LicenseAdobe{,MIT}.txt.
"""

import argparse
import shutil
from functools import partial
from pathlib import Path

from ..images.develop import develop_square
from ..images.download import Failure, Job, download_all
from ..images.store_write import Photo, write_store
from ..local.paths import DOWNLOADS, UserError, check_writable, one_sentence_exit
from .fivek_labels import BASES, CLASSES, HELP, SPLITS, Record, find_labels, read_records

FOLDER = DOWNLOADS / "fivek"
SOURCES = ("dng", "a", "b", "c", "d", "e")
SITE = "https://data.csail.mit.edu/graphics/fivek/img"
LABELS = "https://huggingface.co/datasets/yuukicammy/MIT-Adobe-FiveK/raw/main"
LABEL_FILES = {  # name: (bytes, sha256)
    "training.json": (3495257, "f37918e6b9a3adb2432613bda12c9aa682b2e9a6efb520f427612341c52b9945"),
    "validation.json": (499137, "6e93d27f0d29fbf8d86781ba45b5268d22eda1a2682b7a2933d2d876b83e0722"),
    "testing.json": (997102, "c87a4b8ef9d28794ef0b424375fa2b78a8e845f6204df198117f6261d4c08a60"),
}
MEAN = {"dng": 10e6, "tif": 52e6}  # bytes a file, to know beforehand whether the disk will do
STANDIN = "stand-in"  # the licence that marks drawn pictures in FiveK's format


def index(root: Path | str = FOLDER, source: str = "c") -> list[Photo]:
    """The photographs of a source whose files are on this disk, train split first; nothing is fetched.

    label is the place in CLASSES; split is "train", "validation" or "test". Files are looked for by listing the known
    folders, so no name in the labels ever becomes a path. Raises UserError where labels or all files are missing.
    """
    files = find_files(root, source)
    photos = [Photo(r.name, files[r.name], r.label, r.split) for r in read_records(root) if r.name in files]
    if not photos:
        raise UserError(f"{root} has no photographs of source {source}, fetch them with {HELP} --source {source}.")
    return photos


def describe(root: Path | str, source: str) -> str:
    """What the photographs of a source are, in words for titles and records."""
    made = "DNG developed by LibRaw" if source == "dng" else f"retouched by expert {source.upper()}"
    drawn = any(record.licence == STANDIN for record in read_records(root))
    return "stand-in for MIT-Adobe FiveK, drawn" if drawn else f"MIT-Adobe FiveK, {made}"


def find_files(root: Path | str, source: str) -> dict[str, Path]:
    """Name -> path of every file of a source, in any of the layouts."""
    if source not in SOURCES:
        raise UserError(f"FiveK has no source {source!r}, choose one of {', '.join(SOURCES)}.")
    folder = f"tiff16_{source}"
    places = ["raw/*", "raw_photos/*/photos", "img/dng", "dng"]
    places = places if source == "dng" else [f"processed/{folder}", f"img/{folder}", folder]
    suffixes = (".dng",) if source == "dng" else (".tif", ".tiff")
    paths = (path for base in BASES for place in places for path in (Path(root) / base).glob(f"{place}/*"))
    return {path.stem: path for path in paths if path.suffix.lower() in suffixes}


def fetch_labels(root: Path) -> None:
    """Bring the three JSON files where no labels are, or what is lacking of them."""
    folder = find_labels(root) or root
    theirs = {name: (folder / name).stat().st_size for name in LABEL_FILES if (folder / name).exists()}
    if folder.is_file() or any(size != LABEL_FILES[name][0] for name, size in theirs.items()):
        return  # other labels than the community's, such as the stand-in's
    jobs = [Job(f"{LABELS}/{name}", folder / name, *LABEL_FILES[name]) for name in LABEL_FILES]
    if failures := download_all(jobs):
        raise UserError(
            f"FiveK's labels cannot be fetched ({failures[0].reason.rstrip('.')}), or put {', '.join(LABEL_FILES)} "
            f"from github.com/yuukicammy/mit-adobe-fivek-dataset into {folder} by hand."
        )


def choose(records: list[Record], only_class: str | None = None, limit: int | None = None) -> list[Record]:
    """The first ``limit`` photographs of a class or of all, in an order that keeps the shares of the splits throughout.

    A larger limit goes on where a smaller one ended, and so does the store.
    """
    records = [record for record in records if only_class in (None, CLASSES[record.label])]
    ranks = []
    for split in SPLITS.values():
        part = [record for record in records if record.split == split]
        ranks += [((place + 0.5) / len(part), record) for place, record in enumerate(part)]
    return [record for _, record in sorted(ranks, key=lambda rank: rank[0])][:limit]


def fetch(root: Path, source: str, records: list[Record], workers: int) -> list[Failure]:
    """Bring the files of ``records`` that are lacking. Raises UserError where the disk is too small for them."""
    found = find_files(root, source)
    lacking = [record for record in records if record.name not in found]
    if lacking and any(record.licence == STANDIN for record in lacking):
        raise UserError(f"{root} lacks {len(lacking)} pictures of the stand-in, draw them with "
                        "python -m vsacc.tasks.standin.")  # fmt: skip
    kind = "dng" if source == "dng" else "tif"
    needed, free = len(lacking) * MEAN[kind], shutil.disk_usage(root).free
    if needed > free:
        raise UserError(f"the {len(lacking)} files to fetch take about {needed / 1e9:.0f} GB and {root} has "
                        f"{free / 1e9:.0f} GB free, use --limit or another --root.")  # fmt: skip
    return download_all([job(root, source, record) for record in lacking], workers)


def job(root: Path, source: str, record: Record) -> Job:
    """Where a photograph comes from and goes to; always this site, whatever URLs the labels hold."""
    if source == "dng":
        return Job(f"{SITE}/dng/{record.name}.dng", root / "raw" / (record.camera or "dng") / f"{record.name}.dng")
    name = f"{record.name}.tif"
    return Job(f"{SITE}/tiff16_{source}/{name}", root / "processed" / f"tiff16_{source}" / name)


def prepare(root: Path, source: str, side: int, only_class: str | None, limit: int | None, workers: int) -> int:
    """Fetch and develop into ``root``/stores; returns the exit code, 1 where photographs could not be had.

    Files that the site does not hold are left out. Where others failed, nothing is developed yet: the next run goes on.
    """
    check_writable(root)
    fetch_labels(root)
    records = choose(read_records(root), only_class, limit)
    failures = fetch(root, source, records, workers)
    for failure in failures:
        print(failure.reason)
    if not all(failure.final for failure in failures):
        print(f"{len(failures)} of {len(records)} photographs are missing, run this again to go on.")
        return 1
    photos = {photo.name: photo for photo in index(root, source)}
    chosen = [photos[record.name] for record in records if record.name in photos]
    folder = store_folder(root, source, side, only_class)
    develop = partial(develop_square, side=side, prophoto=source != "dng")
    left_out = write_store(folder, chosen, CLASSES, side, develop, describe(root, source))
    print(*left_out, f"{len(chosen) - len(left_out)} photographs in {folder}", sep="\n")
    return 1 if failures or left_out else 0


def store_folder(root: Path | str, source: str, side: int, only_class: str | None = None) -> Path:
    """Where the store of a source lies."""
    return Path(root) / "stores" / "-".join(filter(None, [source, str(side), only_class]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m vsacc.tasks.fivek", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["prepare"])
    parser.add_argument("--source", choices=SOURCES, default="c", help="raw files or one expert's TIFFs")
    parser.add_argument("--limit", type=positive, metavar="N", help="photographs, in the shares of the three splits")
    parser.add_argument("--only-class", choices=CLASSES)
    parser.add_argument("--workers", type=positive, default=4, help="downloads at a time")
    parser.add_argument("--root", type=Path, default=FOLDER, metavar="DIR", help="the data set's folder")
    parser.add_argument("--side", type=positive, default=2528, help="pixels; photographs are squashed to squares")
    options = parser.parse_args()
    return prepare(options.root, options.source, options.side, options.only_class, options.limit, options.workers)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 on")
    return int(text)


if __name__ == "__main__":
    one_sentence_exit(main)
