"""Measurements of peers as lines of JSON, as they come: a peer that fails does not stop the run."""

import json
import sys
import time


class PeerLines:
    def __init__(self, path, seconds):
        self.file = open(path, "w")
        self.end = time.monotonic() + seconds

    def write(self, **line):
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def measure(self, measurement, **line):
        """Adds {**line, "seconds": measurement()}, or why there is none."""
        try:
            if time.monotonic() > self.end:
                raise TimeoutError("left out, the time is up")
            line["seconds"] = measurement()
        except Exception as error:  # what a peer raises is its own
            line["error"] = describe(error)
        self.write(**line)
        print(*(f"{name}={value}" for name, value in line.items()), file=sys.stderr, flush=True)
        return "seconds" in line


def describe(error):
    words = str(error).strip().splitlines() or [type(error).__name__]
    return f"{type(error).__name__}: {words[0]}"[:200]


def machine():
    """What the peers ran on."""
    import torch

    found = {"pytorch": torch.__version__, "cuda": torch.version.cuda}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name(0)
        found["cudnn"] = torch.backends.cudnn.version()
    return found
