"""Times chains through mapped memory (comm/peer) between ranks that are streams of one process: the kernel alone, no link.

usage: python3 time_chain.py LIBRARY.so
Prints for each kind of M, size and number of ranks the time of a chain, and of one of its hops: median of rounds of chains up
and down the ranks in turn, all launched before the first one may begin.
"""

import os
import statistics
import sys

# A queue of its own for each stream: in one with another rank's, what waits for this rank would hold it up.
os.environ['CUDA_DEVICE_MAX_CONNECTIONS'] = '32'

import torch

from check_chain import Ranks, segment
from kernel_calls import Library

CASES = [('identity', (1, 1, 1, 4)), ('identity', (1, 1, 128, 128)), ('identity', (1, 16, 128, 128)),
         ('diagonal', (1, 16, 128, 128)), ('dense', (1, 16, 128, 128)), ('identity', (1, 64, 128, 128)),
         ('identity', (1, 256, 128, 128))]
NUM_CHAINS, ROUNDS = 20, 7
# Longer than it takes to launch everything.
HELD_CYCLES = 100_000_000


def time_round(ranks, kind, segments, incoming):
    """Seconds of a chain."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    held = torch.cuda.Stream()
    with torch.cuda.stream(held):
        torch.cuda._sleep(HELD_CYCLES)
    for stream in ranks.streams:
        stream.wait_stream(held)
    begin.record(ranks.streams[0])
    for _ in range(NUM_CHAINS):
        for rank in range(ranks.P):
            for step in (1, -1):
                first = rank == (0 if step > 0 else ranks.P - 1)
                ranks.call(rank, kind, step, segments[rank], None if first else incoming[rank])
    end.record(ranks.streams[0])
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1e3 / (2 * NUM_CHAINS)


def main():
    library = Library(sys.argv[1])
    assert library.functions.longscanPeerChainLoad() == 0
    print(torch.cuda.get_device_name())
    print('| ranks | M | KiB | chain, us | hop, us |\n| --- | --- | --- | --- | --- |')
    for P in (2, 4, 8):
        ranks = Ranks(library, P)
        for kind, shape in CASES:
            segments = [segment(kind, shape, False) for _ in range(P)]
            incoming = [library.empty(shape) for _ in range(P)]
            times = [time_round(ranks, kind, segments, incoming) for _ in range(1 + ROUNDS)]
            us = 1e6 * statistics.median(times[1:])
            kib = incoming[0].numel() / 256
            print(f'| {P} | {kind} | {kib:g} | {us:.1f} | {us / (P - 1):.1f} |', flush=True)


if __name__ == '__main__':
    main()
