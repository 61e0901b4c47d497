"""FiveK in small for the tests: labels in the community's schema, and files by name only."""

import json
from pathlib import Path

PHOTOS = {  # name: (subject as the community spells it, JSON file); two of the 29 awkward names among them
    "a1384-dvf_095": ("nature", "training"),
    "a4125-jmacdscf0006 (1)": ("unknown", "training"),
    "a1138-2004-06-24 05-55-28 CRW_2024": ("people", "training"),
    "a0002-dgw_005": ("man_made", "validation"),
    "a0003-NKIM_MG_8178": ("abstract", "testing"),
}


def entry(name: str, subject: str, licence: str = "Adobe") -> dict:
    site = "http://data.csail.mit.edu/graphics/fivek/img"
    return {
        "urls": {"dng": f"{site}/dng/{name}.dng", "tiff16": {e: f"{site}/tiff16_{e}/{name}.tif" for e in "abcde"}},
        "categories": {"location": "outdoor", "time": "day", "light": "sun_sky", "subject": subject},
        "id": int(name[1:5]),
        "license": licence,
        "camera": {"make": "Canon", "model": "EOS 5D Mark II"},
    }


def write_labels(folder: Path, photos: dict[str, tuple[str, str]] = PHOTOS, licence: str = "Adobe") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("training", "validation", "testing"):
        content = {name: entry(name, subject, licence) for name, (subject, where) in photos.items() if where == split}
        (folder / f"{split}.json").write_text(json.dumps(content))


def put(folder: Path, suffix: str, names: list[str] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or PHOTOS:
        (folder / f"{name}{suffix}").write_bytes(b"a file")
