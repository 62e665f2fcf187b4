"""The tests again under ThreadSanitizer, and under AddressSanitizer with UndefinedBehaviorSanitizer; bounded fuzzing.

The sanitized builds are made by Clang, the release build by the system's compiler: both pass without warnings.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from native_tools import CLANG, build, missing, run
from registered_parts import FITS, registered_part

from regad.runtime.formats.artifact import Artifact
from tests.needs import require

SECONDS = int(os.environ.get("REGAD_FUZZ_SECONDS", "3"))
QUICK = "-DCMAKE_CXX_FLAGS_RELEASE=-O1"
READERS = ("manifest", "golden", "category")
inner = pytest.mark.skipif("REGAD_NATIVE_BUILD" in os.environ, reason="already inside a sanitized run")
pytestmark = [inner]


@pytest.fixture(scope="module")
def address_build() -> Path:
    """The build with AddressSanitizer, UndefinedBehaviorSanitizer and the fuzzers."""
    require("clang")
    options = ("-DREGAD_TESTS=ON", "-DREGAD_FUZZ=ON", "-DREGAD_SANITIZE=address,undefined", QUICK)
    return build("native-asan", *options, compiler=CLANG)


def test_address_and_undefined_behavior(address_build: Path) -> None:
    """The whole C++ test list."""
    run(
        "ctest", "--test-dir", address_build, "--output-on-failure", "--no-tests=error",
        env={"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"},
    )  # fmt: skip


def test_address_sanitizer_under_python(address_build: Path, standin: Artifact) -> None:
    """The Python tests of this folder, on the sanitized library and the real ONNX Runtime."""
    for fit in FITS:  # what Python says of them is not what is sanitized
        registered_part(standin, fit)
    names = (f"libclang_rt.asan-{platform.machine()}.so", "libclang_rt.asan.so")  # Clang has two layouts
    found = [Path(run(CLANG, f"-print-file-name={name}").strip()) for name in names]
    preload = next((str(path) for path in found if path.exists()), "")
    if not preload:
        missing("needs Clang's shared AddressSanitizer runtime: apt-get install libclang-rt-dev")
    folder = Path(__file__).parent
    tests = [str(folder / name) for name in ("test_parity.py", "test_preprocess_bytes.py", "test_cabi.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "REGAD_NATIVE_BUILD": str(address_build),
            "REGAD_STANDIN": str(standin.path.parent),
            "LD_PRELOAD": preload,
            "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0",
        },
        cwd=folder.parents[1],
        timeout=600,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


def test_threads(standin: Artifact, onnxruntime_library: Path) -> None:
    """Threads predict while categories are swapped and detectors end: over the stand-in runtime, then the real one."""
    options = ("-DREGAD_TESTS=ON", "-DREGAD_SANITIZE=thread", QUICK)
    # Clang's ThreadSanitizer takes a third of GCC's time.
    name, targets = "native-tsan-clang" if CLANG else "native-tsan", ("test_inside", "test_surface", "fake_ort")
    folder = build(name, *options, compiler=CLANG, targets=targets)
    suppressions = Path(__file__).parent / "tsan.supp"
    run(
        "ctest", "--test-dir", folder, "--output-on-failure", "--no-tests=error",
        env={"TSAN_OPTIONS": "halt_on_error=1"},
    )  # fmt: skip
    files = standin.path.parent
    # ONNX Runtime waits through libstdc++, which hides from the suppressions whose mutex it is.
    real = {
        "TSAN_OPTIONS": f"halt_on_error=1:report_mutex_bugs=0:suppressions={suppressions}",
        "REGAD_ONNXRUNTIME": str(onnxruntime_library),
        "REGAD_SWAP_MODEL": str(standin.path),
        "REGAD_SWAP_A": str(files / "gram_f2_gram_f3.safetensors"),
        "REGAD_SWAP_B": str(files / "gram_f2_cholesky_f3-fp16.safetensors"),
    }
    run(folder / "tests" / "test_surface", "test_swap", env=real)


@pytest.mark.parametrize("reader", READERS)
def test_fuzz_briefly(address_build: Path, reader: str, tmp_path: Path) -> None:
    """A bounded run of each fuzzer from good seeds; $REGAD_FUZZ_SECONDS for more."""
    corpus = tmp_path / reader
    corpus.mkdir()
    run(address_build / "tests" / "write_seeds", corpus, reader)
    # libFuzzer reads its peak memory off a counter that starts with that of the process it was started from: a shell's.
    run(
        "sh", "-c", '"$@"; exit $?', "sh",
        address_build / "tests" / f"fuzz_{reader}", f"-max_total_time={SECONDS}", "-rss_limit_mb=2048", "-timeout=120",
        "-max_len=65536", "-print_final_stats=1", f"-artifact_prefix={tmp_path}/", corpus,
    )  # fmt: skip
