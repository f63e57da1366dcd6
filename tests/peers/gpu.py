"""treeformer on a GPU beside PyTorch's kernels on the same GPU, in one run.

  python3 tests/peers/gpu.py --output=FOLDER [--lengths=8192,32768] [--minutes=8]

needs Python with PyTorch, which is not installed for it; $TREEFORMER is the program
(build-cuda/treeformer).  FOLDER gets the lines of JSON of every part and table.md, which is printed
too.  What fails is told in the table and stops nothing.  --table makes table.md again from what is
in FOLDER.

Exit status: 0; 1 where a part failed or was left out, a peer could not be timed, or a gate was not
measured."""

import argparse
import json
import os
import subprocess
import sys
import time

from gpu_shapes import LENGTHS, TRAIN_LENGTHS
from gpu_table import Results, gates_not_measured, page
from ours import bench_command, numbers, read_lines

HERE = os.path.dirname(os.path.abspath(__file__))
# In the order of their weight: the last ones find the time up.
PARTS = ("attention", "dense", "train", "steps", "flex")


class Run:
    def __init__(self, arguments):
        self.folder = arguments.output
        self.lengths, self.train_lengths = arguments.lengths, arguments.train_lengths
        self.rows = arguments.rows
        self.end = time.monotonic() + 60 * arguments.minutes
        self.notes = []
        self.died = False  # the last command that failed, by a signal

    def left(self):
        return self.end - time.monotonic()

    def call(self, name, command, log=None, environment=None):
        """Whether it came to its end; what it printed stands in FOLDER."""
        log = log or name
        if self.left() <= 0:
            self.notes.append(f"{name}: left out, the time is up")
            return False
        begin = time.monotonic()
        try:
            with open(self.log(log), "a") as file:
                subprocess.run(command, check=True, timeout=self.left(), stdout=file,
                               stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})})
        except (OSError, subprocess.SubprocessError) as error:
            self.notes.append(f"{name}: {reason(error)}; {log}.log ends: {self.last_words(log)}")
            self.died = getattr(error, "returncode", 0) < 0
            return False
        finally:
            print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
        return True

    def path(self, name):
        return os.path.join(self.folder, f"{name}.json")

    def log(self, name):
        return os.path.join(self.folder, f"{name}.log")

    def last_words(self, name):
        with open(self.log(name), errors="replace") as log:
            lines = [line.strip() for line in log if line.strip()]
        return lines[-1][:200] if lines else "empty"

    def forget(self, name):
        """What an earlier run left."""
        for path in (self.path(name), self.log(name)):
            if os.path.exists(path):
                os.remove(path)

    def ours(self, name, suite, lengths):
        """Goes on behind a length at which the program fell."""
        flags = {"device": "cuda", "rows": self.rows}
        lengths = list(lengths)
        blocking = False
        with open(self.path(name), "w") as gathered:
            while lengths:
                part = self.path("part")
                if os.path.exists(part):
                    os.remove(part)
                done = self.call(name, bench_command(suite, lengths, part, flags))
                rows = read_lines(part)
                gathered.writelines(json.dumps(row) + "\n" for row in rows)
                gathered.flush()
                if done or self.left() <= 0:
                    return
                if self.died and not blocking:
                    blocking = True
                    self.ours_blocking(name, suite, lengths, flags)
                lengths = lengths[1 + last_begun(rows, lengths):]

    def ours_blocking(self, name, suite, lengths, flags):
        """What a signal ended, once more: a kernel's failure is now told where it is launched."""
        log = f"{name}.blocking"
        command = bench_command(suite, lengths, self.path(log), flags)
        if self.call(f"{name}, launches blocking", command, log, {"CUDA_LAUNCH_BLOCKING": "1"}):
            self.notes.append(f"{name}, launches blocking: came to its end")
        if os.path.exists(self.path(log)):
            os.remove(self.path(log))

    def peers(self, name, script, *flags):
        self.call(name, [sys.executable, os.path.join(HERE, script), f"--output={self.path(name)}",
                         f"--seconds={self.left():.0f}", *flags])

    def run(self, part):
        self.forget(part)
        lengths = "--lengths=" + ",".join(map(str, self.lengths))
        if part == "attention":
            self.ours(part, "attention", self.lengths)
        elif part == "train":
            self.ours(part, "train", self.train_lengths)
        elif part == "steps":
            self.peers(part, "gpu_train.py",
                       "--lengths=" + ",".join(map(str, self.train_lengths)))
        else:
            self.peers(part, "gpu_attention.py", f"--part={part}", lengths)


def reason(error):
    if isinstance(error, subprocess.TimeoutExpired):
        return "stopped, the time is up"
    if isinstance(error, subprocess.CalledProcessError):
        if error.returncode < 0:
            return f"ended by signal {-error.returncode}"
        return f"ended with status {error.returncode}"
    return str(error)


def last_begun(rows, lengths):
    """The place in `lengths` of the last one that has rows, 0 when none has."""
    seen = {row["length"] for row in rows if "length" in row}
    return max((i for i, length in enumerate(lengths) if length in seen), default=0)


def write_table(folder, notes):
    """Whether all was measured."""
    lines = {part: read_lines(os.path.join(folder, f"{part}.json")) for part in PARTS}
    peers = lines["dense"] + lines["flex"] + lines["steps"]
    text = page(lines["attention"], lines["train"], peers, notes)
    with open(os.path.join(folder, "table.md"), "w") as file:
        file.write(text)
    print(text)
    results = Results(lines["attention"], lines["train"], peers)
    gates = gates_not_measured(results)
    if notes or results.failures or gates:
        print(f"gpu.py: {len(notes)} failures of parts, {len(results.failures)} of peers, {gates} "
              "gates not measured", file=sys.stderr)
    return not (notes or results.failures or gates)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True)
    parser.add_argument("--lengths", type=numbers, default=LENGTHS)
    parser.add_argument("--train_lengths", type=numbers, default=TRAIN_LENGTHS)
    parser.add_argument("--rows", default="", help="ours: only rows whose name has this in it")
    parser.add_argument("--parts", type=lambda text: text.split(","), default=PARTS,
                        help=",".join(PARTS))
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--table", action="store_true", help="only make table.md again")
    arguments = parser.parse_args()
    os.environ.setdefault("TREEFORMER", os.path.join(HERE, "../../build-cuda/treeformer"))
    os.makedirs(arguments.output, exist_ok=True)
    run = Run(arguments)
    for part in () if arguments.table else arguments.parts:
        run.run(part)
    return 0 if write_table(arguments.output, run.notes) else 1


if __name__ == "__main__":
    sys.exit(main())
