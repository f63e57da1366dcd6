"""Tests of the scripts beside, without a GPU: python3 -m unittest tests/peers/gpu_test.py"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import gpu_table  # noqa: E402  (after its folder is on the path)
from gpu_shapes import LENGTHS, columns, shapes  # noqa: E402
from timing import median_seconds_of_groups  # noqa: E402

try:
    import torch
except ImportError:
    torch = None

SHAPE = columns((1, 16, 8192, 64))


def ours(attention, which, seconds, shape=SHAPE, **others):
    return {**shape, "attention": attention, "pass": which, "seconds": seconds, "density": 1 / 64,
            "flops": 1e9, "bytes": 4e9, "useful_share": 0.8, "held_bytes": 2**30, **others}


def peer(name, which, seconds, shape=SHAPE):
    return {**shape, "peer": name, "pass": which, "seconds": seconds}


def row_of(page, *words):
    """The cells of the only row that has all these words."""
    found = [line for line in page.splitlines()
             if line.startswith("|") and all(word in line for word in words)]
    assert len(found) == 1, (words, found)
    return [cell.strip() for cell in found[0].strip("|").split("|")]


class TheTable(unittest.TestCase):
    def gate(self, seconds):
        """Of a forward pass at 8,192, gate 6, goal 12, where the best dense kernel takes 12 s."""
        peers = [peer("cuDNN", "forward", 12.0), peer("flash", "forward", 15.0),
                 peer("flex sorted", "forward", 1.0), peer("cuDNN", "backward", 1.0),
                 peer("cuDNN", "forward", 1.0, columns((1, 8, 8192, 96)))]
        page = gpu_table.page([ours(gpu_table.BALANCED, "forward", seconds)], [], peers)
        return row_of(page, "best dense", gpu_table.BALANCED, "8,192", "forward")

    def test_a_ratio_is_held_against_the_best_dense_kernel_of_the_same_shape_and_pass(self):
        self.assertEqual(self.gate(1.0)[5:], ["12.00", "6", "12", "goal met"])
        self.assertEqual(self.gate(2.0)[5:], ["6.00", "6", "12", "gate met"])
        self.assertEqual(self.gate(2.1)[5:], ["5.71", "6", "12", "**missed**"])

    def test_what_was_not_measured_is_said_so(self):
        page = gpu_table.page([], [], [])
        for line in page.splitlines():
            if line.startswith("| best dense"):
                self.assertTrue(line.endswith("not measured |"), line)
        self.assertIn("not measured", row_of(page, "BERT-base step")[8])

    def test_a_bandwidth_is_a_share_of_the_copy_of_the_same_run(self):
        shape = columns((1, 16, 32768, 64))
        page = gpu_table.page([{"copy_bytes_per_second": 3e12, "matmul_flops_per_second": 6e14},
                               ours("TC h=7", "forward", 0.002, shape, flops=0)], [], [])
        self.assertEqual(row_of(page, "TC h=7: share", "32,768")[5:],
                         ["0.67", "0.6", "0.8", "gate met"])
        self.assertIn("Copy 3.00 TB/s", page)

    def test_the_step_is_held_against_the_faster_of_eager_and_compiled_with_as_many_sequences(self):
        train = [{"length": 512, "sequences": 32, "attention": "TF h=2", "seconds": 0.9,
                  "tokens_per_second": 1, "density": 0.3}]
        steps = [{"peer": "eager", "length": 512, "sequences": 32, "seconds": 1.2},
                 {"peer": "compiled", "length": 512, "sequences": 32, "seconds": 1.0},
                 {"peer": "compiled", "length": 512, "sequences": 8, "seconds": 0.1}]
        cells = row_of(gpu_table.page([], train, steps), "BERT-base step")
        self.assertEqual(cells[4:], ["1,000.0 compiled", "0.90", "0.93", "0.93", "goal met"])
        train[0]["seconds"] = 0.94
        train.append({**train[0], "attention": "TF h=2 graphs", "seconds": 0.93})
        self.assertEqual(row_of(gpu_table.page([], train, steps), "BERT-base step")[3],
                         "930.0 TF h=2 graphs")
        train.pop()
        self.assertEqual(row_of(gpu_table.page([], train, steps), "BERT-base step")[8],
                         "**missed**")

    def test_memory_is_linear_when_a_token_takes_as_much_at_every_length(self):
        def verdict(large_bytes):
            rows = [ours(gpu_table.BALANCED, "layer forward+backward", 1.0,
                         columns((1, 16, n, 64)), held_bytes=held)
                    for n, held in ((32768, 32768 * 1000), (131072, large_bytes))]
            return row_of(gpu_table.page(rows, [], []), "bytes a token")[8]

        self.assertEqual(verdict(131072 * 1000), "goal met")
        self.assertEqual(verdict(131072 * 1099), "gate met")
        self.assertEqual(verdict(131072 * 4000), "**missed**")

    def test_failures_are_listed(self):
        page = gpu_table.page([], [], [{**SHAPE, "peer": "cuDNN", "pass": "forward",
                                        "error": "RuntimeError: no kernel"}], ["flex: the time"])
        self.assertIn("* cuDNN, 1 x 16 x 8,192 x 64, forward: RuntimeError: no kernel", page)
        self.assertIn("* flex: the time", page)

    def test_every_row_of_a_table_has_as_many_cells_as_its_heading(self):
        page = gpu_table.page([{"copy_bytes_per_second": 3e12, "matmul_flops_per_second": 6e14},
                               ours(gpu_table.BALANCED, "forward", 1.0),
                               ours("full", "backward", 1.0)], [],
                              [peer("flash", "forward", 1.0), peer("flex sorted", "backward", 1.0)])
        for table in page.split("\n\n"):
            if table.startswith("|"):
                self.assertEqual(len({line.count("|") for line in table.splitlines()}), 1, table)


# Stands in for the program: falls at length 4096, and without --device=cuda; dies at length 1024.
PROGRAM = r"""#!/usr/bin/env python3
import json, os, sys
flags = dict(word[2:].split("=", 1) for word in sys.argv[2:])
assert sys.argv[1] == "bench" and flags["device"] == "cuda", sys.argv
with open(flags["json"], "w") as file:
    if flags["suite"] == "attention":
        file.write(json.dumps({"copy_bytes_per_second": 1e12, "matmul_flops_per_second": 1e14}))
        file.write("\n")
    for n in map(int, flags["lengths"].split(",")):
        if n == 4096:
            sys.exit("it fell")
        if n == 1024:
            file.flush()
            print("blocking" if "CUDA_LAUNCH_BLOCKING" in os.environ else "somewhere", flush=True)
            os.abort()
        row = {"sequences": 1, "heads": 16, "head_width": 64, "length": n, "seconds": 1e-3,
               "attention": "TF h=6 balanced", "density": 0.1}
        if flags["suite"] == "attention":
            row.update({"pass": "forward", "flops": 1, "bytes": 1, "useful_share": 1,
                        "held_bytes": 1})
        else:
            row["tokens_per_second"] = 1
        file.write(json.dumps(row) + "\n")
"""


class TheRun(unittest.TestCase):
    def run_gpu(self, *flags):
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder, "treeformer")
            program.write_text(PROGRAM)
            program.chmod(0o755)
            done = subprocess.run(
                [sys.executable, str(HERE / "gpu.py"), f"--output={folder}/out", *flags],
                capture_output=True, text=True, env={**os.environ, "TREEFORMER": str(program)})
            self.assertEqual(done.returncode, 1, done.stderr)  # most gates are not measured
            self.assertRegex(done.stderr, r"gpu\.py: .* gates not measured\n$")
            rows = {path.stem: [json.loads(line) for line in path.read_text().splitlines()]
                    for path in pathlib.Path(folder, "out").glob("*.json")}
            self.assertEqual(pathlib.Path(folder, "out", "table.md").read_text() + "\n",
                             done.stdout)
            return rows, done.stdout

    def test_goes_on_behind_a_length_at_which_the_program_falls(self):
        rows, page = self.run_gpu("--parts=attention,train", "--lengths=2048,4096,8192",
                                  "--train_lengths=4096,512")
        self.assertEqual([row["length"] for row in rows["attention"] if "length" in row],
                         [2048, 8192])
        self.assertEqual([row["length"] for row in rows["train"]], [512])
        self.assertIn("attention: ended with status 1; attention.log ends: it fell", page)

    def test_runs_a_program_that_dies_again_with_launches_that_block(self):
        rows, page = self.run_gpu("--parts=attention", "--lengths=2048,1024,8192")
        self.assertEqual([row["length"] for row in rows["attention"] if "length" in row],
                         [2048, 8192])
        self.assertIn("* attention: ended by signal 6; attention.log ends: somewhere", page)
        self.assertIn("* attention, launches blocking: ended by signal 6; attention.blocking.log "
                      "ends: blocking", page)

    def test_leaves_out_what_finds_the_time_up(self):
        rows, page = self.run_gpu("--minutes=0", "--lengths=2048")
        self.assertFalse(rows.get("attention"))
        self.assertIn("attention: left out, the time is up", page)
        self.assertIn("flex: left out, the time is up", page)


def whole_run():
    """What each part writes when every gate is measured."""
    machine = {"copy_bytes_per_second": 3e12, "matmul_flops_per_second": 6e14}
    rows = {(attention, n, which) for attention, n, which, *_ in
            gpu_table.RATIOS + gpu_table.BANDWIDTHS}
    rows |= {(gpu_table.BALANCED, n, "layer forward+backward") for n in (32768, 131072)}
    steps = {"length": 512, "sequences": 32, "seconds": 1.0}
    return {"attention": [machine] + [ours(attention, which, 1.0, columns((1, 16, n, 64)))
                                      for attention, n, which in sorted(rows)],
            "dense": [peer("cuDNN", which, 1.0, columns((1, 16, n, 64)))
                      for n in (8192, 32768, 131072) for which in ("forward", "backward")],
            "train": [{**steps, "attention": "TF h=2", "tokens_per_second": 1, "density": 0.3}],
            "steps": [{**steps, "peer": "compiled"}], "flex": []}


class TheStatus(unittest.TestCase):
    def status(self, lines):
        with tempfile.TemporaryDirectory() as folder:
            for part, rows in lines.items():
                text = "".join(json.dumps(row) + "\n" for row in rows)
                pathlib.Path(folder, f"{part}.json").write_text(text)
            return subprocess.run([sys.executable, str(HERE / "gpu.py"), f"--output={folder}",
                                   "--table"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL).returncode

    def test_is_0_when_every_gate_is_measured(self):
        self.assertEqual(self.status(whole_run()), 0)

    def test_is_1_when_a_gate_is_not_measured(self):
        for part in ("attention", "dense", "train", "steps"):
            lines = whole_run()
            lines[part].pop()
            self.assertEqual(self.status(lines), 1, part)

    def test_is_1_when_a_peer_fails(self):
        lines = whole_run()
        lines["flex"] = [{**SHAPE, "peer": "flex sorted", "pass": "forward", "error": "no kernel"}]
        self.assertEqual(self.status(lines), 1)


# Stands in for a test program: three tests, one of which a signal ends.  Where launches block it
# says where; without CUDA's libraries it does not start.
DYING_TEST = r"""#!/bin/bash
[ "$LD_LIBRARY_PATH" ] || { echo "libnccl.so.2: cannot open shared object file"; exit 127; }
case "$*" in
  *--gtest_list_tests*) printf 'DenseDevice.\n  Lives\n  Dies\n'; exit ;;
  *=DenseDevice.Lives*) ;;
  *) [ -z "$CUDA_LAUNCH_BLOCKING" ] || echo "F1 linear.cu:7] Check failed: an illegal address"
     kill -ABRT $$ ;;
esac
for word; do case $word in --gtest_output=xml:*) file=${word#*xml:} ;; esac; done
echo '<testsuites failures="0"><testcase name="Lives" classname="DenseDevice"/></testsuites>' |
  sed 's/></>\n</g' >"$file"
"""
FAKES = {  # the commands that gpu.sh asks about the machine
    "nvidia-smi": '#!/bin/sh\necho "A GPU, 1.0"\n',
    "ldd": '#!/bin/sh\n[ "$LD_LIBRARY_PATH" ] || echo "  libnccl.so.2 => not found"\n',
    "compute-sanitizer": "#!/bin/sh\necho 'ERROR SUMMARY: 0 errors'\n",
    "python3": f'#!/bin/sh\n[ -z "$LD_LIBRARY_PATH" ] || echo "python3 is led to $LD_LIBRARY_PATH" >&2\n'
               f'exec {sys.executable} "$@"\n'}


class TheScript(unittest.TestCase):
    def run_script(self, part):
        with tempfile.TemporaryDirectory() as folder:
            bundle, fakes = pathlib.Path(folder, "bundle"), pathlib.Path(folder, "fakes")
            for path in (bundle / "tests", bundle / "bin", bundle / "peers", fakes):
                path.mkdir(parents=True)
            files = {bundle / "tests" / "dying_test": DYING_TEST,
                     bundle / "bin" / "treeformer": DYING_TEST,
                     **{fakes / name: text for name, text in FAKES.items()}}
            for path, text in files.items():
                path.write_text(text)
                path.chmod(0o755)
            (bundle / "build").write_text("commit c\ndate d\nglibc 2.0\ncuda 13.0\n")
            for script in HERE.glob("*.py"):
                (bundle / "peers" / script.name).write_text(script.read_text())
            environment = {**os.environ, "PATH": f"{fakes}:{os.environ['PATH']}",
                           "GPU_SECONDS": "120"}
            environment.pop("LD_LIBRARY_PATH", None)
            table = pathlib.Path(folder, "table.md")
            done = subprocess.run(["bash", str(HERE.parent / "gpu.sh"), part, str(bundle),
                                   str(table)], capture_output=True, text=True, env=environment)
            log = pathlib.Path(folder, "table.md.log")
            return done, table.read_text(), log.read_text() if log.exists() else ""

    def test_a_program_that_dies_runs_again_with_launches_that_block(self):
        done, table, _ = self.run_script("test")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(row_of(table, "dying_test"), ["dying_test", "1", "1", "0", "0"])
        self.assertIn("* DenseDevice.Dies ended with status 134", table)
        self.assertIn("* dying_test ended with status 134: F1 linear.cu:7] Check failed: an "
                      "illegal address", table)

    def test_a_benchmark_of_which_nothing_was_measured_fails_and_keeps_its_table(self):
        done, table, log = self.run_script("bench")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("The benchmark failed", table)
        self.assertIn("gates not measured", table)
        self.assertIn("### Gates and goals", table)
        self.assertIn("attention: ended by signal 6", table)  # it found its libraries
        self.assertNotIn("python3 is led to", log)


class TheTimes(unittest.TestCase):
    def test_groups_fill_ten_milliseconds_and_are_of_one_call_where_it_is_long(self):
        asked = []

        def group(calls, seconds):
            asked.append(calls)
            return calls * seconds

        self.assertAlmostEqual(median_seconds_of_groups(lambda calls: group(calls, 0.003)), 0.003)
        self.assertEqual(asked, [1, 1] + [4] * 8)
        asked.clear()
        median_seconds_of_groups(lambda calls: group(calls, 0.5))
        self.assertEqual(asked, [1, 1] + [1] * 3)

    def test_shapes_that_have_gates_are_timed_first(self):
        self.assertEqual(shapes(LENGTHS)[:4], [(1, 16, 8192, 64), (1, 8, 8192, 96),
                                               (1, 16, 32768, 64), (1, 16, 131072, 64)])
        self.assertIn((16, 12, 512, 64), shapes(LENGTHS))


@unittest.skipIf(torch is None, "no PyTorch here")
class TheMask(unittest.TestCase):
    def test_is_what_create_block_mask_makes(self):
        from leaf_mask import balanced_leaves, leaf_block_mask, leaf_mask
        from torch.nn.attention.flex_attention import create_block_mask
        for in_order in (True, False):
            for heads, length, leaves in ((2, 512, 8), (3, 1024, 2), (1, 384, 1), (2, 640, 64)):
                queries, keys = (balanced_leaves(heads, length, leaves, in_order, "cpu")
                                 for _ in range(2))
                expected = create_block_mask(leaf_mask(queries, keys), 1, heads, length, length,
                                             device="cpu")
                found = leaf_block_mask(queries, keys, leaves)
                for name in ("kv_num_blocks", "full_kv_num_blocks", "q_num_blocks",
                             "full_q_num_blocks"):
                    self.assertTrue(torch.equal(getattr(found, name), getattr(expected, name)),
                                    (name, heads, length, leaves, in_order))
                self.assertTrue(torch.equal(found.to_dense(), expected.to_dense()))

    def test_gives_attention_inside_leaves(self):
        from leaf_mask import balanced_leaves, leaf_block_mask
        from torch.nn.attention.flex_attention import flex_attention
        torch.manual_seed(1)
        q, k, v = (torch.randn(1, 2, 256, 16) for _ in range(3))
        queries, keys = (balanced_leaves(2, 256, 4, False, "cpu") for _ in range(2))
        o = flex_attention(q, k, v, block_mask=leaf_block_mask(queries, keys, 4))
        same = queries.unsqueeze(2) == keys.unsqueeze(1)
        expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=same[None])
        # float32 sums of at most 256 terms of size 1
        self.assertLess((o - expected).abs().max().item(), 256 * 2**-23 * 4)


@unittest.skipIf(torch is None, "no PyTorch here")
class ThePeers(unittest.TestCase):
    def run_peers(self, script, *flags):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "lines.json")
            subprocess.run([sys.executable, str(HERE / script), "--device=cpu",
                            f"--output={path}", *flags], check=True, stderr=subprocess.DEVNULL)
            return [json.loads(line) for line in path.read_text().splitlines()]

    def test_a_peer_that_is_not_here_is_told_and_the_others_are_timed(self):
        lines = self.run_peers("gpu_attention.py", "--part=dense", "--lengths=128")
        self.assertIn("machine", lines[0])
        cudnn = [line for line in lines if line.get("peer") == "cuDNN"]
        self.assertEqual(["error" in line for line in cudnn], [True, True])  # operator, module
        self.assertEqual({line["pass"] for line in lines if line.get("peer") == "flash"
                          and line["seconds"] > 0},
                         {"forward", "backward", "forward+backward", "layer forward",
                          "layer forward+backward"})

    def test_no_pass_begins_after_the_time(self):
        lines = self.run_peers("gpu_attention.py", "--part=dense", "--lengths=128", "--seconds=-1")
        self.assertEqual({line["error"] for line in lines[1:]},
                         {"TimeoutError: left out, the time is up"})


if __name__ == "__main__":
    unittest.main()
