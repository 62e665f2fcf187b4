"""Builds the compiled kernels of the Python runtime from the native library's sources; everything else is declared.

The extension is optional: where it cannot be built, NumPy does their work, and ``regad-doctor`` says so. A wheel that
others install must have it: packaging/wheels.sh sets ``REGAD_WHEEL=1``.
"""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE = Path("runtime/native/src")
COMMON = ["-std=c++17", "-O3", "-ffp-contract=fast", "-fvisibility=hidden", "-fno-math-errno", "-Wno-psabi", "-g0"]
COMMON += ["--param=avoid-fma-max-bits=0", "-Wno-unused-command-line-argument"]  # GCC 14; Clang fuses in any case
SETS = {"avx2": ["-mavx2", "-mfma", "-mf16c"]}
SETS["avx512"] = [*SETS["avx2"], "-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw"]
"""What runtime/native/CMakeLists.txt gives the same files: each is compiled for one instruction set."""
WHEEL = os.environ.get("REGAD_WHEEL") == "1"
# The libstdc++ of the machine that builds is newer than what a manylinux wheel may ask for: it goes into the library.
LINK = [
    "-pthread",
    "-s",
    *(["-static-libstdc++", "-static-libgcc", "-Wl,--exclude-libs,ALL", "-Wl,--gc-sections"] if WHEEL else []),
]


def sources() -> list[str]:
    """The kernels' interface, the kernels for the target's instruction sets, and what they need."""
    names = ["judge", "kernels", "kernels_base", "pool", "presence", "resample", "scorer", "smoothing", "statistics"]
    names += ["edges", "fill", "plane", "registration", "template", "warp"]
    if sysconfig.get_platform().endswith("x86_64"):  # $_PYTHON_HOST_PLATFORM where it is another than this machine
        names += [f"kernels_{instructions}" for instructions in SETS]
    return [str(SOURCE / "embedded.cpp"), *(str(SOURCE / "core" / f"{name}.cpp") for name in names)]


class BuildKernels(build_ext):
    """Compiles each source with the flags of its instruction set, which setuptools has no word for."""

    def build_extension(self, ext: Extension) -> None:
        """Compile and link; an error is reported, and passed over since the extension is optional."""
        objects: list[str] = []
        for source in ext.sources:
            flags = SETS.get(Path(source).stem.removeprefix("kernels_"), [])
            objects += self.compiler.compile(
                [source],
                output_dir=self.build_temp,
                include_dirs=ext.include_dirs,
                depends=ext.depends,
                extra_postargs=[*COMMON, *flags],
            )
        target = self.get_ext_fullpath(ext.name)
        self.compiler.link_shared_object(
            objects, target, extra_postargs=LINK, target_lang="c++", build_temp=self.build_temp
        )


KERNELS = Extension(
    "regad.runtime._kernels",
    sources(),
    include_dirs=[str(SOURCE)],
    depends=[str(path) for path in (*sorted(SOURCE.rglob("*.hpp")), *sorted(SOURCE.rglob("*.inc")))],
    language="c++",
    optional=not WHEEL,
    py_limited_api=True,  # it uses nothing of Python's own API: one file serves every version
)

setup(
    ext_modules=[KERNELS],
    cmdclass={"build_ext": BuildKernels},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
