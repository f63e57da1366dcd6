"""Medians, as launcher/bench/timing/timing.h takes them."""

import math
import statistics
import time


def median_seconds(work):
    def once():
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    first = once()
    if first > 20:
        return first
    seconds = []
    while len(seconds) < (3 if first > 1 else 5) or (sum(seconds) < 1 and len(seconds) < 25):
        seconds.append(once())
    return statistics.median(seconds)


def median_seconds_of_groups(group):
    """group(calls): seconds of so many calls.  The groups of MedianSecondsOnStream."""
    group(1)
    one = group(1)
    calls = min(max(math.ceil(0.01 / one), 1), 1000)
    if calls > 1:
        group(calls)
    return statistics.median(group(calls) / calls for _ in range(3 if one > 0.3 else 7))


def median_seconds_on_gpu(work):
    """By CUDA events on the current stream."""
    import torch

    def group(calls):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(calls):
            work()
        end.record()
        end.synchronize()
        return 1e-3 * begin.elapsed_time(end)

    return median_seconds_of_groups(group)


def timer_of(device):
    return median_seconds_on_gpu if device == "cuda" else median_seconds
