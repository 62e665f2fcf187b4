"""Small sound files of every kind that is read, to be damaged."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

VISA = (
    """object,split,label,image,mask
candle,train,normal,candle/0.png,
candle,test,normal,candle/1.png,
candle,test,anomaly,candle/2.png,candle/2m.png
pcb1,train,normal,pcb1/0.png,
pcb1,test,normal,pcb1/1.png,
"""
    + "candle,train,normal,candle/0.png,\n" * 40
)


def pixels(height: int = 13, width: int = 17) -> NDArray[np.uint8]:
    """A picture with flat and busy parts, uint8 RGB [H, W, 3]."""
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (200, 30, 0)
    return image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of an image file."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def tiff(bits: int, photometric: int, data: bytes, width: int, height: int) -> bytes:
    """A grey TIFF of one strip, little-endian."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 8)]
    tags += [(277, 3, 1), (278, 4, height), (279, 4, len(data))]
    data += b"\0" * (len(data) % 2)
    entries = b"".join(struct.pack("<HHIL", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


def packed12(samples: NDArray[np.uint16]) -> bytes:
    """Pack samples below 4096, two in three bytes."""
    pairs = samples.reshape(-1, 2).astype(int)
    return b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in pairs)


def odd_exif(kind: int = 2, orientation: int = 6) -> bytes:
    """EXIF data with an orientation, and a resolution of another type: ASCII (2), UNDEFINED (7), negative (10)."""
    ifd = struct.pack("<HHHIHH", 2, 0x112, 3, 1, orientation, 0)
    if kind == 10:
        ifd += struct.pack("<HHII", 0x11A, kind, 1, 38) + bytes(4) + struct.pack("<ii", -72, 1)
    else:
        ifd += struct.pack("<HHI", 0x11A, kind, 3) + b"72\0\0" + bytes(4)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + ifd


def images() -> list[bytes]:
    """Image files of every format and many modes."""
    rgb = Image.fromarray(pixels())
    grey16 = Image.fromarray((np.arange(20 * 10, dtype=np.uint16) * 300).reshape(10, 20))
    low = (np.arange(24, dtype=np.uint16) * 170).reshape(4, 6)
    files = [saved(rgb.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA")]
    files += [saved(grey16, "PNG"), saved(rgb, "PNG", exif=odd_exif())]
    files += [saved(rgb.convert(mode), "JPEG", progressive=mode == "RGB") for mode in ("L", "RGB", "CMYK")]
    files += [saved(rgb, "JPEG", exif=odd_exif(kind)) for kind in (2, 7, 10)]
    files += [saved(rgb.convert(mode), "TIFF") for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "F", "I")]
    files += [saved(rgb, "TIFF", compression=how) for how in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg")]
    files += [saved(rgb, "TIFF", save_all=True, append_images=[rgb.convert("L")]), saved(grey16, "TIFF")]
    files += [tiff(12, 1, packed12(low), 6, 4), tiff(16, 0, low.tobytes(), 6, 4), tiff(8, 0, bytes(24), 6, 4)]
    files += [saved(rgb, "WEBP", lossless=flag) for flag in (False, True)]
    files += [saved(rgb, "WEBP", save_all=True, append_images=[rgb.convert("L").convert("RGB")])]
    files += [saved(rgb.convert(mode), "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")]
    files += [saved(rgb, "GIF"), saved(rgb, "GIF", save_all=True, append_images=[rgb.rotate(90)])]
    files += [saved(rgb.convert(mode), "PPM") for mode in ("1", "L", "RGB")]
    files += [b"P5 6 4 4095\n" + low.astype(">u2").tobytes(), b"P2 3 2 255\n0 1 2 3 4 255\n"]
    files += [saved(rgb, "MPO", save_all=True, append_images=[rgb])]
    return files + ([saved(rgb, "AVIF")] if features.check("avif") else [])


def lists() -> list[bytes]:
    """VisA's list as published and as spreadsheets write it."""
    return [
        VISA.encode(),
        VISA.encode("utf-8-sig"),
        VISA.replace(",", ";").replace("\n", "\r\n").encode(),
        VISA.replace(",", "\t").encode("utf-16"),
        VISA.replace("candle,", '"candle",').encode(),
    ]


def video(folder: Path) -> list[bytes]:
    """A short video."""
    import cv2

    path = folder / "seed.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (16, 16))
    for grey in range(5):
        writer.write(np.full((16, 16, 3), 40 * grey, np.uint8))
    writer.release()
    return [path.read_bytes()]
