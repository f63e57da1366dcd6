"""The suites of `treeformer bench` that time lengths, for the scripts that set peers beside them."""

import argparse
import json
import os
import subprocess
import tempfile


def bench_rows(suite, length, threads, arguments):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.json")
        subprocess.run(
            [os.environ["TREEFORMER"], "bench", f"--suite={suite}", f"--lengths={length}",
             f"--threads={threads}", f"--rows={arguments.rows}",
             f"--run_dir={arguments.run_dir}", f"--json={path}"],
            check=True, stdout=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)})
        with open(path) as file:
            return [json.loads(line) for line in file]


def compare_all(compare, description, lengths, threads, passes=None):
    """compare(length, threads, arguments) for --lengths and --threads; the rest are defaults."""
    def numbers(text):
        return [int(word) for word in text.split(",")]

    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--lengths", type=numbers, default=lengths)
    parser.add_argument("--threads", type=numbers, default=threads)
    parser.add_argument("--rows", default="", help="ours: only rows whose name has this in it")
    parser.add_argument("--peers", default="", help="only peers whose name has this in it")
    parser.add_argument("--run_dir", default="", help="ours: also the trees of this run")
    if passes:
        parser.add_argument("--passes", type=lambda text: text.split(","), default=passes)
    arguments = parser.parse_args()
    for count in arguments.threads:
        for length in arguments.lengths:
            compare(length, count, arguments)
