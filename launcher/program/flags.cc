#include "launcher/program/flags.h"

#include <gflags/gflags.h>

namespace treeformer {

DEFINE_string(
    config, "quick_start",
    "the experiment: a text proto (launcher/run/run.proto), or the name of a shipped one");
DEFINE_string(set, "",
              "overrides fields of the experiment, FIELD.PATH=VALUE[,...]; may be repeated");
DEFINE_string(run_dir, "", "the run's directory [train: runs/NAME of the experiment]");
DEFINE_string(
    text, "",
    "text instead of the experiment's: a folder, glob or file, or, where it is read once, a "
    "pipe (JSON lines if its name ends in .jsonl); several by comma, or by --text again");
DEFINE_string(checkpoint, "",
              "a checkpoint, checkpoints/step_N of a run, instead of its newest one");
DEFINE_string(data, "", "a token file, made by `treeformer prepare` with the run's vocabulary");
DEFINE_bool(resume, true,
            "go on from the newest checkpoint of --run_dir; --noresume refuses if it has any");
DEFINE_string(
    stages, "",
    "train only stages BEGIN:END of the plan, as `treeformer plan` numbers them, END left "
    "out; empty: all");
DEFINE_bool(verify_data, false, "read token files whole again, to verify them");
DEFINE_int32(threads, 0, "threads of this rank; 0: its share of the cores");
DEFINE_string(device, "cpu", "where it runs: cpu, or cuda, a GPU, with activations in bfloat16");
DEFINE_bool(cuda_graphs, false, "on a GPU: give the work of a step as CUDA graphs");
DEFINE_int32(ranks, 1, "ranks that will run it, for memory");
DEFINE_double(density, 0, "expected of the trees, as `train` reports it; 0: balanced trees");
DEFINE_string(suite, "", "the suite to run");
DEFINE_int64(steps, 1500, "training steps of a row of the table");
DEFINE_string(task, "all", "router suite: recall, characters, matching, or all");
DEFINE_string(lengths, "",
              "attention and train suites: tokens of a sequence, by comma [attention: 512 to 65536 "
              "by doubling, on a GPU 512 and 2048 to 131072; train: 512,4096]");
DEFINE_string(json, "", "attention and train suites: a file for the table as lines of JSON");
DEFINE_string(dtype, "float32",
              "attention and train suites on a CPU: operands of matrix products, float32 or "
              "bfloat16");
DEFINE_string(rows, "", "only the rows of the table whose name has this in it");

DEFINE_string(vocabulary, "", "vocab.txt, one token a line; any Hugging Face BERT vocabulary");
DEFINE_int32(size, 30522, "tokens of the vocabulary");
DEFINE_int64(alphabet, 0,
             "characters of the vocabulary, the most frequent ones; words with others are unknown; "
             "0: 1,000, and more where 99.95 % of the text takes them, as Chinese does, up to half "
             "of --size");
DEFINE_string(output, "", "the file to write");
DEFINE_string(held_out, "", "a second token file for text held out of training; empty: none");
DEFINE_double(held_out_fraction, 0.01, "of the text, with --held_out");
DEFINE_string(document, "file", "what a document is in plain text: file, line or blank_line");
DEFINE_string(json_field, "text", "the field that holds the text, in .jsonl");
DEFINE_bool(lower_case, true, "uncased: lower case, no accents");
DEFINE_bool(replace_invalid_utf8, false,
            "replace invalid UTF-8, and count it, instead of refusing");
DEFINE_bool(
    skip_bad_documents, false,
    "skip documents with invalid UTF-8, and lines of JSON without a string at --json_field, "
    "and count and list them, instead of refusing");
DEFINE_int32(zstd_window_log, 31,
             "largest window of a .zst frame, 2^this bytes of memory; 10 to 31, as zstd --long");

}  // namespace treeformer
