#!/usr/bin/env bash
# What the tests can use from the system, installed: Debian's packages, ONNX Runtime's C headers, the NodeSet of OPC UA.
# `make tools` and CI (.ci/run) run it. Everything is optional: a test without its tool is skipped and says so.
set -euo pipefail
cd "$(dirname "$0")/.."

# OpenCV's wheel needs the first two, which a bare Debian lacks.
packages=(libgl1 libglib2.0-0)
# The native library: build, sanitizers, fuzzers, examples.
packages+=(cmake ninja-build g++ clang libclang-rt-dev nlohmann-json3-dev libopencv-dev valgrind libc6-dbg pkg-config)
# The peers that tests talk to: PLC, broker, browser, registry, network namespaces, camera.
packages+=(mbpoll mosquitto openssl chromium docker-registry iproute2 libaravis-0.8-0)

if command -v apt-get >/dev/null; then
  as_root=$([ "$(id -u)" = 0 ] || echo sudo)
  if [ -n "$as_root" ] && ! command -v sudo >/dev/null; then
    echo "no sudo here; run this as root: $0" >&2
    exit 1
  fi
  $as_root apt-get update -qq
  # The shared library that tritonserver embeds; a Python that is not Debian's brings its own.
  python_library=libpython$("${PYTHON:-python3}" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  if apt-cache show "$python_library" >/dev/null 2>&1; then packages+=("$python_library"); fi
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
  runtime/native/get-headers.sh
else
  echo "no apt-get here; install what your system calls: ${packages[*]}" >&2
fi
if command -v npm >/dev/null; then
  runtime/desk/opcua/get-nodeset.sh
else
  echo "no npm here: the tests of OPC UA are skipped (runtime/desk/opcua/get-nodeset.sh needs it)" >&2
fi
