#!/bin/bash
# The main job on a fresh Debian 12: installs the packages, builds, and pretrains on two ranks, from
# full attention to tree attention.  Arguments go to `treeformer train`, such as --text=DIR.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

"$root/launcher/install_debian.sh"
(cd "$root" && cmake --preset cpu && cmake --build --preset cpu --target treeformer)

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
exec mpirun -n 2 --oversubscribe --bind-to none \
  "$root/build/treeformer" train --config=quick_start "$@"
