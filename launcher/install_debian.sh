#!/bin/bash
# Installs what Treeformer is built and run with, on Debian 12, and the packages that are given.  As
# root or with sudo, from any folder; asks nothing; does nothing where all packages are there.
set -euo pipefail

packages=(
  g++ cmake ninja-build pkg-config
  libdnnl-dev ocl-icd-opencl-dev opencl-c-headers             # kernels; oneDNN asks for OpenCL
  libhwy-dev librandom123-dev
  libopenmpi-dev openmpi-bin                                 # dist
  libgoogle-glog-dev libgflags-dev protobuf-compiler libprotobuf-dev
  libutf8proc-dev libzstd-dev libxxhash-dev nlohmann-json3-dev
  libgtest-dev libbenchmark-dev                              # tests
  patchelf                                                   # the package of cpack
  "$@"
)

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "missing: ${missing[*]}; run this as root" >&2; exit 2; }
  as_root=(sudo)
fi
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get --yes)
"${apt[@]}" update
"${apt[@]}" install --no-install-recommends "${missing[@]}"
