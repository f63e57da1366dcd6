"""`treeformer prepare` against Hugging Face tokenizers: the same ids, and MB/s on one thread."""

import argparse
import os
import pathlib
import subprocess
import tempfile

import tokenizers

from timing import median_seconds

os.environ["TOKENIZERS_PARALLELISM"] = "false"


def main(folder, vocabulary):
    paths = sorted(pathlib.Path(folder).glob("**/*.txt"))
    texts = [path.read_text(encoding="utf-8") for path in paths]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    theirs = tokenizers.BertWordPieceTokenizer(vocabulary, lowercase=True)
    ids = []

    def tokenize():
        ids[:] = [theirs.encode(text, add_special_tokens=False).ids for text in texts]

    with tempfile.TemporaryDirectory() as output:
        prepared = os.path.join(output, "tokens")
        command = [os.environ["TREEFORMER"], "prepare", f"--text={folder}", "--threads=1",
                   f"--vocabulary={vocabulary}", f"--output={prepared}"]

        def prepare():
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})

        ours_seconds, theirs_seconds = median_seconds(prepare), median_seconds(tokenize)
        ours = pathlib.Path(prepared).read_bytes()
    missing = [path.name for path, document in zip(paths, ids) if not stands_in(ours, document)]
    print(f"{len(paths)} files, {megabytes:.1f} MB, {sum(map(len, ids))} tokens;"
          f" documents whose ids differ: {missing or 'none'}")
    print(f"Hugging Face tokenizers {tokenizers.__version__}, 1 thread: "
          f"{megabytes / theirs_seconds:.1f} MB/s (memory to memory)")
    print(f"treeformer prepare, 1 thread: {megabytes / ours_seconds:.1f} MB/s (whole process, files"
          f" to file); ratio {theirs_seconds / ours_seconds:.1f}")


def stands_in(tokens, document):
    """Whether the ids stand in the token file, which holds them as little-endian int32."""
    return b"".join(i.to_bytes(4, "little") for i in document) in tokens


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text")
    parser.add_argument("vocabulary")
    arguments = parser.parse_args()
    main(arguments.text, arguments.vocabulary)
