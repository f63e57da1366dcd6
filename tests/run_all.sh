#!/bin/bash
# All tests on a fresh Debian 12: installs the packages, builds, and runs them.  Arguments go to
# ctest, such as -R dist.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

"$root/launcher/install_debian.sh" clang-format-14 gdb
cd "$root"
cmake --preset cpu
cmake --build --preset cpu
ctest --preset cpu "$@"
