"""Damaged files through every reader: each must end in a result, an InputError or a SourceError.

``python tests/fuzz/readers.py --count 20000 --seed 0`` tries that many on each reader, prints the counts, and keeps
the files that end in anything else in ``fuzz-out/``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import struct
import tempfile
import traceback
import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from regad.calib.support import read_good_images
from regad.runtime.errors import InputError, SourceError
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.files import list_folder
from regad.runtime.imaging.reading import read_picture
from regad.runtime.sources.stills import image_frames
from regad.runtime.sources.video import video_frames
from regad.runtime.text import redact, shown
from regad.train.data.layouts import good_images, list_categories, test_items
from regad.train.data.masks import read_marked, read_mask
from regad.train.data.visa import VISA_SPLIT

if __package__:
    from . import seeds
else:
    import seeds  # type: ignore[import-not-found, no-redef]

_VALUES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_NAMES_AT_ONCE = 20


class Counts(NamedTuple):
    """How many tries ended in a result, how many were refused, and what went wrong with the others."""

    results: int
    refused: int
    failures: list[str]


class Reader(NamedTuple):
    """What is tried: the sound files, and what to do with a damaged one in a folder; it raises what is allowed."""

    name: str
    seeds: Callable[[Path], list[bytes]]
    read: Callable[[Path, bytes], None]


def damaged(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """Return ``data`` with one to four faults: bits, numbers, cuts, repeats, pieces of another file."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(out) + 1)
        length = chance.choice((1, 2, 4, 8, chance.randint(1, 64)))
        fault = chance.randrange(7)
        if fault == 0 and at < len(out):
            out[at] ^= 1 << chance.randrange(8)
        elif fault == 1:
            out[at : at + length] = chance.randbytes(length)
        elif fault == 2:
            order = chance.choice("<>")
            out[at : at + 4] = struct.pack(f"{order}I", chance.choice(_VALUES))
        elif fault == 3:
            del out[at : at + length]
        elif fault == 4:
            out[at:at] = out[max(0, at - length) : at]
        elif fault == 5:
            other = chance.choice(others)
            start = chance.randrange(len(other))
            out[at : at + length] = other[start : start + length]
        elif chance.random() < 0.3:
            del out[at:]
    return _checked(out) if out.startswith(b"\x89PNG") and chance.random() < 0.7 else bytes(out)


def _checked(png: bytearray) -> bytes:
    """Set the check sums of a PNG right, so that what is behind them is reached."""
    at = 8
    while at + 12 <= len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4], "big")
        if end + 4 > len(png):
            break
        png[end : end + 4] = zlib.crc32(png[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(png)


def _image(folder: Path, data: bytes) -> None:
    path = folder / "part.png"
    path.write_bytes(data)
    first = read_picture(path, 0)
    for page in range(min(first.pages, 3)):
        image = read_picture(path, page).image
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3
    read_picture(path)


def _mask(folder: Path, data: bytes) -> None:
    path, notes = folder / "mask.png", list[str]()
    path.write_bytes(data)
    marked = read_marked(path, notes.append)
    assert marked.dtype == np.bool_
    assert marked.ndim == 2
    assert read_mask(path, marked.shape, InputSpec(), notes.append).shape == (224, 224)
    assert all("\n" not in note for note in notes)


def _list(folder: Path, data: bytes) -> None:
    path = folder / VISA_SPLIT
    path.parent.mkdir(exist_ok=True)
    for name in ("candle/0.png", "candle/1.png", "candle/2.png", "candle/2m.png", "pcb1/0.png", "pcb1/1.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    path.write_bytes(data)
    for category in list_categories(folder)[:4]:
        assert good_images(folder, category)
        assert test_items(folder / category)


def _name(folder: Path, data: bytes) -> None:
    """A folder of files whose names are pieces of ``data``; reading them fails for none."""
    picture = folder.parent / "sound.png"
    if not picture.exists():
        picture.write_bytes(seeds.saved(Image.new("RGB", (3, 2)), "PNG"))
    names = {bytes(byte for byte in piece if byte not in b"\0/")[:200] for piece in data.split(b"\n") if piece}
    for path in folder.iterdir():
        path.unlink()
    for name in names:
        (folder / os.fsdecode(name + b".png")).hardlink_to(picture)
    found = list_folder(folder, recursive=True)
    frames = list(image_frames(found, folder))
    hidden = sum((name + b".png").startswith(b".") for name in names)
    assert len(frames) == len(names) - hidden
    for frame in frames:
        assert frame.image is not None, frame.error
        json.dumps([frame.source, frame.tag], ensure_ascii=False).encode()
        assert "\n" not in frame.source
        redact(frame.source).encode()
    read_good_images(found.images)
    redact(shown(data.decode("utf-8", "surrogateescape"))).encode()


def _video(folder: Path, data: bytes) -> None:
    path = folder / "line.avi"
    path.write_bytes(data)
    frames, _ = video_frames(str(path))
    for index, frame in enumerate(frames):
        assert frame.index == index
        assert (frame.image is None) == (frame.error is not None)


def _names(folder: Path) -> list[bytes]:
    words = [
        b"part",
        b"pr\xfcf",
        "prüf".encode(),
        b"img2\xc2\xb2",
        b"\xe2\x80\xae.gnp",
        b"a b",
        b"rtsp://u:p@h",
        b"\x1b[31m",
    ]
    return [b"\n".join(bytes([65 + n]) + words[n % len(words)] for n in range(_NAMES_AT_ONCE))]


READERS = (
    Reader("images", lambda folder: seeds.images(), _image),
    Reader("masks", lambda folder: seeds.images(), _mask),
    Reader("lists", lambda folder: seeds.lists(), _list),
    Reader("names", _names, _name),
    Reader("videos", seeds.video, _video),
)


def run(reader: Reader, count: int, seed: int, keep: Path | None = None) -> Counts:
    """Try ``count`` damaged files on a reader; those that end in anything unforeseen are stored in ``keep``."""
    chance = random.Random(f"{reader.name} {seed}")
    results = refused = 0
    failures: list[str] = []
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = 1 << 18  # a damaged size must not cost a gigabyte
    try:
        with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            folder = Path(place) / "data"
            folder.mkdir()
            sound = reader.seeds(Path(place))
            for number in range(count):
                data = damaged(chance.choice(sound), sound, chance)
                try:
                    reader.read(folder, data)
                    results += 1
                except (InputError, SourceError) as error:
                    refused += 1
                    assert "\n" not in str(error), error
                except Exception:
                    failures.append(f"{reader.name} {number}: {traceback.format_exc()}")
                    if keep is not None:
                        keep.mkdir(exist_ok=True)
                        (keep / f"{reader.name}-{seed}-{number}").write_bytes(data)
    finally:
        Image.MAX_IMAGE_PIXELS = before
    return Counts(results, refused, failures)


def main() -> None:
    """Run every reader and print what came of it; status 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", choices=[reader.name for reader in READERS], action="append")
    options = parser.parse_args()
    failed = 0
    for reader in READERS:
        if options.reader is None or reader.name in options.reader:
            counts = run(reader, options.count, options.seed, Path("fuzz-out"))
            failed += len(counts.failures)
            print(f"{reader.name}: {counts.results} read, {counts.refused} refused, {len(counts.failures)} failed")
            print("".join(counts.failures[:5]), end="", flush=True)
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main()
