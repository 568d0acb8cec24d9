"""Times by CUDA events, memory, and what the machine can do at most."""

import statistics

import torch


def spread(times):
    """Median, 5th and 95th percentile."""
    cuts = statistics.quantiles(times, n=20)
    return [round(x, 4) for x in (statistics.median(times), cuts[0], cuts[-1])]


def timed(run):
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def milliseconds(runs, budget_ms=250, least=5, most=60):
    """Of each of `runs` (by name), taken in turns so that a change of clocks meets all alike."""
    times = {name: [] for name in runs}
    for run in runs.values():
        for _ in range(2):
            run()
    torch.cuda.synchronize()
    while True:
        for name, run in runs.items():
            times[name].append(timed(run))
        taken = len(next(iter(times.values())))
        if taken >= most or (taken >= least and sum(map(sum, times.values())) > budget_ms * len(runs)):
            return {name: spread(values) for name, values in times.items()}


def graph_of(run):
    """The run as a CUDA graph: its time leaves out what launching costs."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(2):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = run()

    def replay(kept=kept):  # the graph writes to what it returned
        graph.replay()

    return replay


def peak_bytes(run):
    """Beyond what was in use before."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    kept = run()
    torch.cuda.synchronize()
    del kept
    return torch.cuda.max_memory_allocated() - before


def ceilings():
    """Bytes read and written per second by a copy of 2 GB, and FLOP/s of a dense bf16 product of 8192^3 on random data."""
    source = torch.randn(1 << 28, device='cuda')
    target = torch.empty_like(source)
    copied = milliseconds(dict(copy=lambda: torch.mul(source, 1, out=target)), 20)['copy'][0]
    a, b = (torch.randn(8192, 8192, device='cuda').bfloat16() for _ in range(2))
    multiplied = milliseconds(dict(product=lambda: a @ b), 20)['product'][0]
    return dict(bytesPerSecond=2 * 4 * source.numel() / copied * 1e3, flopsPerSecond=2 * 8192**3 / multiplied * 1e3)
