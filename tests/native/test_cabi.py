"""The Python binding as such: its lifecycle, and arguments that never become something else on their way to C."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from native_tools import ROOT
from standin import photo

from regad.runtime.cabi import NativeDetector, load_library
from regad.runtime.errors import CategoryError, DeviceError, InputError
from regad.runtime.formats.artifact import Artifact

Open = Callable[..., NativeDetector]


@pytest.fixture
def category(standin: Artifact) -> Path:
    """A category of the stand-in."""
    return standin.path.parent / "gram.safetensors"


@pytest.fixture
def native(open_native: Open, standin: Artifact, category: Path) -> NativeDetector:
    """A detector with a category."""
    detector = open_native(standin.path)
    detector.load_category(category)
    return detector


def test_what_is_used_after_close_says_so(native: NativeDetector, category: Path) -> None:
    """Every method raises one error; closing again, and the end of a with block, do nothing."""
    with native:
        native.close()
        calls: list[Callable[[], object]] = [
            lambda: native.predict(photo(0)),
            lambda: native.predict_batch([photo(0)]),
            lambda: native.load_category(category),
            lambda: native.set_threshold(1.0),
            native.self_test,
            native.describe,
        ]
        for call in calls:
            with pytest.raises(DeviceError, match="closed and cannot be used any more; load the artifact again"):
                call()
    native.close()


def test_close_while_threads_predict(native: NativeDetector) -> None:
    """Each call ends with its verdict or with the one error, whichever thread closes and however often."""
    expected = native.predict(photo(1)).score
    started, outcomes = threading.Barrier(5), []

    def judge() -> None:
        judged = 0
        try:
            while True:
                assert native.predict(photo(1)).score == expected
                judged += 1
                if judged == 2:
                    started.wait()
        except DeviceError as error:
            outcomes.append(error.code)
            native.close()

    threads = [threading.Thread(target=judge) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    native.close()
    for thread in threads:
        thread.join()
    assert outcomes == ["closed"] * 4


def test_categories_change_while_threads_predict(native: NativeDetector, category: Path) -> None:
    """Every verdict is that of one of the two categories."""
    other = category.with_name("other.safetensors")
    native.load_category(other)
    scores = [native.predict(photo(1)).score]
    native.load_category(category)
    scores.append(native.predict(photo(1)).score)
    stop, wrong = threading.Event(), []

    def judge() -> None:
        while not stop.is_set():
            score = native.predict(photo(1)).score
            wrong.extend([score] if score not in scores else [])

    threads = [threading.Thread(target=judge) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        native.load_category(other)
        native.load_category(category)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    native.close()


def test_a_forgotten_detector_closes_itself(open_native: Open, standin: Artifact) -> None:
    """Its memory goes with the object."""
    native = open_native(standin.path)
    lifecycle = native._lifecycle
    assert not lifecycle.closed
    del native
    gc.collect()
    assert lifecycle.closed


def test_a_detector_left_open_at_the_end_of_the_program(
    library: Path, onnxruntime_library: Path, standin: Artifact, category: Path
) -> None:
    """Status 0 and no word, also while a daemon thread predicts, also in a program that made no detector."""
    program = f"""
import sys, threading
sys.path.insert(0, {str(Path(__file__).parent)!r})
from standin import photo
from regad.runtime.cabi import NativeDetector
from regad.runtime.errors import RegadError
try:
    NativeDetector("/nowhere", library={str(library)!r}, onnxruntime={str(onnxruntime_library)!r})
except RegadError:
    pass
forgotten = NativeDetector({str(standin.path)!r}, library={str(library)!r}, onnxruntime={str(onnxruntime_library)!r})
forgotten.load_category({str(category)!r})
image, begun = photo(0), threading.Event()
def judge():
    try:
        while True:
            forgotten.predict(image)
            begun.set()
    except RegadError:
        pass
threading.Thread(target=judge, daemon=True).start()
begun.wait()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_arguments_are_not_cut_or_wrapped(open_native: Open, standin: Artifact, category: Path) -> None:
    """C would read a name up to a NUL and the low bits of a number: both are refused."""
    for options in ({"threads": 2**32 + 1}, {"threads": -1}, {"max_batch": 2**32 + 8}, {"scorer": "gpu"}):
        with pytest.raises(InputError, match=next(iter(options))):
            open_native(standin.path, **options)
    for name in ("cpu\0", "cpu\ud800"):
        with pytest.raises(InputError, match="without NUL"):
            open_native(standin.path, device=name)
    with pytest.raises(InputError, match="artifact is"):
        open_native(Path(f"{standin.path}\0x"))
    with open_native(standin.path) as native:
        for wrong in (f"{category}\0x", f"{category}\ud800"):
            with pytest.raises(InputError, match="without NUL"):
                native.load_category(wrong)


def test_images_whose_memory_is_not_what_c_reads_are_refused(native: NativeDetector) -> None:
    """Broadcast rows, overlapping rows, gaps between pixels, huge sides and wrong types; honest strides are judged."""
    image = photo(1, 60, 80)
    expected = native.predict(image).score
    wrong = [
        np.broadcast_to(image[0], (60, 80, 3)),
        np.lib.stride_tricks.as_strided(image, (58, 80, 3), (240 - 3, 3, 1)),
        image[:, ::2],
        image[:, :, ::-1],
        np.broadcast_to(np.zeros((1, 1), np.uint8), (2**32 + 1, 4)),
        np.zeros((70000, 1), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        image.astype(np.int8),
        image.tolist(),
        None,
    ]
    for array in wrong:
        with pytest.raises(InputError):
            native.predict(array)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="pixel_format is 'CMYK'"):
        native.predict(image, "CMYK")  # type: ignore[arg-type]
    padded = np.zeros((60, 100, 3), np.uint8)
    padded[:, :80] = image
    assert native.predict(padded[:, :80]).score == expected
    assert native.predict(np.ascontiguousarray(image[::-1])[::-1]).score == expected
    thin = np.lib.stride_tricks.as_strided(image, (1, 1, 3), (0, 0, 1))  # strides of lengths of 1 mean nothing
    assert native.predict(thin).score == native.predict(np.ascontiguousarray(thin.copy())).score
    native.close()


def test_images_made_as_they_are_asked_for_stay_until_they_are_judged(native: NativeDetector) -> None:
    """A sequence that makes each image anew keeps none itself."""

    class Frames(list[None]):
        def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
            if index > 7:
                raise IndexError
            return photo(index, 300, 400)

        def __iter__(self):  # type: ignore[no-untyped-def]
            return (self[index] for index in range(8))

    scores = [result.score for result in native.predict_batch(Frames())]  # type: ignore[arg-type]
    assert scores == [native.predict(photo(index, 300, 400)).score for index in range(8)]
    native.close()


def test_another_library_is_no_native_library() -> None:
    """One error, for a library without our functions and for a name that is none."""
    for name in ("libm.so.6", "lib\0regad.so"):
        with pytest.raises(DeviceError, match="REGAD_LIBRARY"):
            load_library(name)


def test_names_that_are_not_utf8(open_native: Open, standin: Artifact, category: Path, tmp_path: Path) -> None:
    """An artifact and a category under such names are read; describe shows them, and errors name them, replaced."""
    folder = tmp_path / os.fsdecode(b"pr\xfcf")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    model, part = folder / "model.regad", folder / os.fsdecode(b"teil\xe4.safetensors")
    model.symlink_to(standin.path)
    part.symlink_to(category)
    with open_native(model) as native:
        native.load_category(part)
        assert native.predict(photo(2)).score > 0
        description = native.describe()
        assert description["artifact"]["path"].endswith("pr\N{REPLACEMENT CHARACTER}f/model.regad")
        assert description["category"]["path"].endswith("teil\N{REPLACEMENT CHARACTER}.safetensors")
        with pytest.raises(CategoryError, match="pr\N{REPLACEMENT CHARACTER}f/absent cannot be used"):
            native.load_category(folder / "absent")


def rewritten(source: Path, target: Path, change: Callable[[str], str]) -> Path:
    """A copy of a category file whose metadata text was changed."""
    data = source.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"]["meta"] = change(header["__metadata__"]["meta"])
    text = json.dumps(header).encode()
    target.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    return target


def test_replaced_names_and_long_notes_are_read(
    open_native: Open, standin: Artifact, category: Path, tmp_path: Path
) -> None:
    """What Python writes of odd names, C reads: replacement characters, NULs, quotes, 100 kB; describe shows it all."""
    note = 'pr\N{REPLACEMENT CHARACTER}f \0 " \\ \n \N{PILE OF POO} ' + "x" * 100_000

    def change(text: str) -> str:
        meta = json.loads(text)
        meta["threshold"]["note"] = note
        meta["support"] = [{"name": "pr\N{REPLACEMENT CHARACTER}f\0.jpg", "sha256": "0" * 64}]
        return json.dumps(meta)

    with open_native(standin.path) as native:
        native.load_category(rewritten(category, tmp_path / "odd.safetensors", change))
        assert native.describe()["category"]["note"] == note


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-1],
        lambda text: text.replace('"note": "', '"note": "\\udcfc'),
        lambda text: text.replace('"note": "', '"note": "\x01'),
        lambda text: text.replace('"value": 20.0', '"value": 1e999'),
        lambda text: text.replace('"value": 20.0', '"value": NaN'),
        lambda text: "[" * 100_000,
        lambda text: "null",
        lambda text: "",
    ],
    ids=["cut", "lone-surrogate", "control", "too-large", "nan", "deep", "null", "empty"],
)
def test_malformed_metadata_is_one_clear_error(
    open_native: Open, standin: Artifact, category: Path, tmp_path: Path, spoil: Callable[[str], str]
) -> None:
    """It says what is wrong and what to do, and the category in use stays."""
    with open_native(standin.path) as native:
        native.load_category(category)
        before = native.predict(photo(2)).score
        with pytest.raises(
            CategoryError, match=r"spoiled.safetensors cannot be used \(.+\); make one with: regad-calib"
        ):
            native.load_category(rewritten(category, tmp_path / "spoiled.safetensors", spoil))
        assert native.predict(photo(2)).score == before


def test_one_core_gets_one_thread_on_a_machine_of_many(
    library: Path, onnxruntime_library: Path, standin: Artifact, category: Path
) -> None:
    program = f"""
import os, sys
os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
sys.path.insert(0, {str(Path(__file__).parent)!r})
from standin import photo
from regad.runtime.cabi import NativeDetector
with NativeDetector(
    {str(standin.path)!r}, library={str(library)!r}, onnxruntime={str(onnxruntime_library)!r}
) as detector:
    detector.load_category({str(category)!r})
    detector.predict(photo(0))
    print(len(os.listdir("/proc/self/task")))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.stderr) == ("1\n", "")
