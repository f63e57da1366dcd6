"""Medians, as launcher/bench/timing.h takes them."""

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
