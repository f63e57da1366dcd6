#!/bin/sh
# Compares treeformer with its peers, in the same run and on the same machine:
#
#   tests/peers/run.sh attention [--lengths=1024,8192] [--threads=1,2]    PyTorch's attention
#   tests/peers/run.sh train [--lengths=512,4096] [--threads=2]           its BERT-base step
#   tests/peers/run.sh tokenizer TEXT_FOLDER VOCABULARY                   Hugging Face tokenizers
#
# Needs python3-venv and, the first time, the network: the peers are installed into a virtual
# environment of their own, $PEERS_VENV (~/.cache/treeformer/peers).  Nothing here is needed to
# build, run or test treeformer.  $TREEFORMER is the program (build/treeformer).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=${PEERS_VENV:-$HOME/.cache/treeformer/peers}
export TREEFORMER="${TREEFORMER:-$here/../../build/treeformer}"
case ${1:-} in
  attention | train | tokenizer) ;;
  *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
[ -x "$TREEFORMER" ] || { echo "$0: $TREEFORMER is not built" >&2; exit 2; }
if [ ! -e "$venv/complete" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet torch numpy tokenizers
  touch "$venv/complete"
fi
script=$1
shift
exec "$venv/bin/python" "$here/$script.py" "$@"
