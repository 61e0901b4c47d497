"""Swedish traffic signs in small for the tests: two sets of frames with annotations, loose or in zips."""

import io
import zipfile

from PIL import Image

WIDTH, HEIGHT = 128, 96
LIMIT_50 = "VISIBLE, 64.000000, 48.000000, 32.000000, 24.000000, PROHIBITORY, 50_SIGN;"
SETS = {  # set: name of a frame: (what its line says, class or None where it is dropped)
    "Set1": {
        "1277381616Image000001.jpg": ("", "EMPTY"),
        "1277381616Image000002.jpg": (LIMIT_50, "50"),
        "1277381616Image000003.jpg": ("VISIBLE, 9.0, 9.0, 1.0, 1.0, INFORMATION, PEDESTRIAN_CROSSING;", None),
        "1277381616Image000004.jpg": ("MISC_SIGNS;", "EMPTY"),
    },
    "Set2": {
        "1277381617Image000001.jpg": (LIMIT_50.replace("50_S", "80_S"), "80"),
        "1277381617Image000002.jpg": (LIMIT_50.replace("VISIBLE", "BLURRED"), None),
        "1277381617Image000003.jpg": (LIMIT_50.replace("50_S", "70_S") + "MISC_SIGNS;", "70"),
    },
}
KEPT = {f"{part}/{name}": label for part, lines in SETS.items() for name, (_, label) in lines.items() if label}


def jpeg(number, size=(WIDTH, HEIGHT)):
    """A frame whose every pixel tells its number."""
    file = io.BytesIO()
    Image.new("RGB", size, (20 * number, 100, 255 - 20 * number)).save(file, "JPEG", quality=95)
    return file.getvalue()


def annotations(part):
    return "".join(f"{name}:{words}\n" for name, (words, _) in SETS[part].items())


def write_frames(folder, part):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(SETS[part]):
        (folder / name).write_bytes(jpeg(number))


def write_zip(path, part, inside="", names=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for number, name in enumerate(SETS[part]):
            if names is None or name in names:
                file.writestr(f"{inside}{name}", jpeg(number))


def write_set(root):
    """Both sets as attention sampling's script leaves them."""
    for part in SETS:
        write_frames(root / part, part)
        (root / part / "annotations.txt").write_text(annotations(part))
