"""Times longscan's CUDA delta rules beside flash-linear-attention's at the same shapes in one run, and compares errors.

usage: PYTHONPATH=<flash-linear-attention checkout> python3 fla_delta.py LIBRARY.so WHAT.. [--kernels]
WHAT: time:GATE:T:H:K:V, errors:GATE:T:LOW:HIGH (log decays), warm:GATE:H:K:V (compiles the peer's kernels); GATE: none, scalar.
Without the peer on PYTHONPATH only longscan runs. B = 1, bf16 (gates and beta f32). Milliseconds: median, 5th and 95th
percentile, by CUDA events; `graph`: replays of a CUDA graph, which leave out the cost of launching. Peak memory: beyond the
inputs, forward and backward. `--kernels`: longscan's time by kernel as well. With Triton 3.4 to 3.7.0 on Hopper the peer
refuses its gated backward pass because Triton computes it wrongly: to time it, take that check out of its checkout and say
so beside the numbers.
"""

import importlib.util
import os
import statistics
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cuda'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from delta_rule import DeltaRule, reference  # noqa: E402

NAMES = ('o', 'dq', 'dk', 'dv', 'dbeta', 'dg')


def peer_of(gate):
    if gate == 'none':
        from fla.ops.delta_rule import chunk_delta_rule
        return lambda q, k, v, beta: chunk_delta_rule(q, k, v, beta)[0]
    from fla.ops.gated_delta_rule import chunk_gated_delta_rule
    return lambda q, k, v, beta, g: chunk_gated_delta_rule(q, k, v, g, beta)[0]


def inputs(gate, T, H, K, V, low=-0.1, high=-1e-4):
    draw = lambda *shape: torch.randn(shape, device='cuda').bfloat16()
    q, v, dO = draw(1, T, H, K), draw(1, T, H, V), draw(1, T, H, V)
    k = F.normalize(torch.randn(1, T, H, K, device='cuda'), dim=-1).bfloat16()
    beta = torch.rand(1, T, H, device='cuda')
    ends = [torch.tensor(-x).log().item() for x in (high, low)]
    g = None if gate == 'none' else -torch.empty(1, T, H, device='cuda').uniform_(*ends).exp()
    return q, k, v, beta, g, dO


def runs_of(kernels, gate, tensors):
    """What is timed, by name: forward, both passes."""
    *operands, dO = tensors
    leaves = [x.detach().requires_grad_() for x in operands if x is not None]

    def peer_both():
        o = peer(*leaves)
        return [o.detach(), *torch.autograd.grad(o, leaves, dO)]

    def our_forward():
        return kernels.forward(gate, *operands, want_state=False)

    def our_both():
        o, _, kept = our_forward()
        return [o, *kernels.backward(gate, *operands, kept, dO)]

    runs = dict(ours=(our_forward, our_both))
    if importlib.util.find_spec('fla'):
        peer = peer_of(gate)
        runs['peer'] = (lambda: peer(*leaves), peer_both)
    return runs


def milliseconds(run, budget_ms):
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    events = lambda: torch.cuda.Event(enable_timing=True)
    times = []
    while len(times) < 8 or (sum(times) < budget_ms and len(times) < 200):
        begin, end = events(), events()
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    cuts = statistics.quantiles(times, n=20)
    return f'{statistics.median(times):.3f} ({cuts[0]:.3f}..{cuts[-1]:.3f})'


def graph_of(run):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def peak_mb(run):
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    kept = run()
    torch.cuda.synchronize()
    del kept
    return round((torch.cuda.max_memory_allocated() - before) / 1e6)


def by_kernel(run):
    from torch.profiler import ProfilerActivity, profile
    calls = 5
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        for _ in range(calls):
            run()
        torch.cuda.synchronize()
    shares = [(e.key.split('::')[-1][:40], e.device_time_total / calls / 1e3) for e in profiled.key_averages()]
    return ' '.join(f'{name} {time:.4f}' for name, time in sorted(shares, key=lambda x: -x[1]))


def show_times(kernels, gate, T, H, K, V):
    for name, (forward, both) in runs_of(kernels, gate, inputs(gate, T, H, K, V)).items():
        parts = [f'forward {milliseconds(forward, 100)}', f'both {milliseconds(both, 200)}']
        if T <= 8192:
            try:
                parts.append(f'graph {milliseconds(graph_of(both), 100)}')
            except RuntimeError as error:
                parts.append(f'graph {str(error)[:100]}')
        parts.append(f'peak {peak_mb(both)} MB')
        print(f'{gate:6} T{T:7} H{H} K{K} V{V} {name}', *parts, flush=True)
        if name == 'ours' and '--kernels' in sys.argv:
            print('  ', by_kernel(both), flush=True)
    torch.cuda.empty_cache()


def show_errors(kernels, gate, T, low, high):
    tensors = inputs(gate, T, 2, 128, 128, low, high)
    *operands, dO = tensors
    leaves = [None if x is None else x.double().requires_grad_() for x in operands]
    o, _ = reference(gate, *leaves)
    wanted = [x for x in leaves if x is not None]
    exact = [o.detach(), *torch.autograd.grad(o, wanted, dO.double())]
    for name, (_, both) in runs_of(kernels, gate, tensors).items():
        found = [x for x in both() if x is not None]
        shown = ' '.join(f'{label} {((x.double() - y).norm() / y.norm()).item():.2e}' for label, x, y in zip(NAMES, found, exact))
        print(f'error {gate:6} {low}..{high} T{T} {name} {shown}', flush=True)


def main():
    kernels = DeltaRule(sys.argv[1])
    torch.manual_seed(0)
    for what in sys.argv[2:]:
        kind, *rest = what.split(':')
        if kind == 'time':
            show_times(kernels, rest[0], *map(int, rest[1:]))
        elif kind == 'errors':
            show_errors(kernels, rest[0], int(rest[1]), float(rest[2]), float(rest[3]))
        elif kind == 'warm':
            runs_of(kernels, rest[0], inputs(rest[0], 1024, *map(int, rest[1:])))['peer'][1]()
            torch.cuda.synchronize()
            print('compiled', rest, flush=True)


main()
