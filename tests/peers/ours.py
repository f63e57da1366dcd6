"""The suites of `treeformer bench` that time lengths, for the scripts that set peers beside them."""

import argparse
import json
import os
import subprocess
import tempfile


def numbers(text):
    return [int(word) for word in text.split(",")]


def bench_command(suite, lengths, json_file, flags):
    return [os.environ["TREEFORMER"], "bench", f"--suite={suite}", f"--json={json_file}",
            "--lengths=" + ",".join(map(str, lengths)),
            *(f"--{name}={value}" for name, value in flags.items())]


def read_lines(path):
    """The rows of a file of JSON lines, which may have been cut off."""
    rows = []
    if os.path.exists(path):
        with open(path) as file:
            for line in file:
                try:
                    rows.append(json.loads(line))
                except json.JSONDecodeError:
                    break
    return rows


def bench_rows(suite, length, threads, arguments):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.json")
        flags = {"threads": threads, "rows": arguments.rows, "run_dir": arguments.run_dir}
        subprocess.run(bench_command(suite, [length], path, flags),
                       check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "OMP_NUM_THREADS": str(threads)})
        return read_lines(path)


def compare_all(compare, description, lengths, threads, passes=None, rounds=None):
    """compare(length, threads, arguments) for --lengths and --threads; the rest are defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--lengths", type=numbers, default=lengths)
    parser.add_argument("--threads", type=numbers, default=threads)
    parser.add_argument("--rows", default="", help="ours: only rows whose name has this in it")
    parser.add_argument("--peers", default="", help="only peers whose name has this in it")
    parser.add_argument("--run_dir", default="", help="ours: also the trees of this run")
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds,
                            help="times in turns ours and the peers, for machines whose speed drifts")
    if passes:
        parser.add_argument("--passes", type=lambda text: text.split(","), default=passes)
    arguments = parser.parse_args()
    for count in arguments.threads:
        for length in arguments.lengths:
            compare(length, count, arguments)
