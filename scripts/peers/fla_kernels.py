"""Times longscan's CUDA kernels beside flash-linear-attention's at the same shapes in one run, and compares errors.

usage: PYTHONPATH=<flash-linear-attention checkout> python3 fla_kernels.py LIBRARY.so OUT.jsonl [op,op] [T,T] [H,K,V]
Without the peer on PYTHONPATH only longscan is timed.
B = 1, bf16 (gates f32). Milliseconds: median, 5th and 95th percentile, by CUDA events; `graph`: replays of a CUDA graph,
which leave out the cost of launching. Peak memory: beyond the inputs, forward and backward. With Triton 3.4 to 3.7.0 on
Hopper the peer refuses some gated backward passes because Triton computes them wrongly: to time them, take that check
out of its checkout and say so beside the numbers.
"""

import importlib
import importlib.util
import json
import os
import statistics
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cuda'))
from gated_linear import GatedLinear, reference  # noqa: E402

OPS = dict(linear='identity', simple_gla='scalar', gla='diagonal')


def peer_of(op):
    module = importlib.import_module(dict(linear='fla.ops.linear_attn').get(op, 'fla.ops.' + op))
    if op == 'linear':
        return lambda q, k, v, g: module.chunk_linear_attn(q, k, v, normalize=False)[0]
    if op == 'simple_gla':
        return lambda q, k, v, g: module.chunk_simple_gla(q, k, v, g)[0]
    return lambda q, k, v, g: module.chunk_gla(q, k, v, g)[0]


def inputs(op, T, H, K, V):
    draw = lambda *shape: torch.randn(shape, device='cuda').bfloat16()
    q, k, v, dO = draw(1, T, H, K), draw(1, T, H, K), draw(1, T, H, V), draw(1, T, H, V)
    g = None
    if op == 'simple_gla':
        g = F.logsigmoid(torch.randn(1, T, H, device='cuda'))
    if op == 'gla':
        g = F.logsigmoid(torch.randn(1, T, H, K, device='cuda')) / 16
    return q, k, v, g, dO


def runs_of(kernels, op, tensors):
    """What is timed, by name."""
    q, k, v, g, dO = tensors
    leaves = [x.detach().requires_grad_() for x in (q, k, v, g) if x is not None]
    def peer_forward():
        return peer(*leaves[:3], leaves[3] if g is not None else None)

    def peer_both():
        o = peer_forward()
        return [o.detach(), *torch.autograd.grad(o, leaves, dO)]

    def our_forward():
        return kernels.forward(OPS[op], q, k, v, g, want_state=False)

    def our_both():
        o, _, states = our_forward()
        return [o, *kernels.backward(OPS[op], q, k, v, g, states, dO)]

    runs = dict(ours=(our_forward, our_both))
    if importlib.util.find_spec('fla'):
        peer = peer_of(op)
        runs['peer'] = (peer_forward, peer_both)
    return runs


def milliseconds(run, budget_ms):
    """Median and 5th and 95th percentile."""
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    events = lambda: torch.cuda.Event(enable_timing=True)
    times = []
    while len(times) < 10 or (sum(times) < budget_ms and len(times) < 200):
        begin, end = events(), events()
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    cuts = statistics.quantiles(times, n=20)
    return [round(x, 4) for x in (statistics.median(times), cuts[0], cuts[-1])]


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


def peak_bytes(run):
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    kept = run()
    torch.cuda.synchronize()
    del kept
    return torch.cuda.max_memory_allocated() - before


def errors(kernels, op, T, H, K, V, low, high):
    """Relative RMS error against f64 of o, dq, dk, dv, dg, for both."""
    q, k, v, g, dO = inputs(op, T, H, K, V)
    if g is not None:
        g = -torch.exp(torch.empty_like(g).uniform_(torch.tensor(-high).log(), torch.tensor(-low).log()))
    runs = runs_of(kernels, op, (q, k, v, g, dO))
    leaves = [None if x is None else x.double().requires_grad_() for x in (q, k, v, g)]
    o, _ = reference(OPS[op], *leaves)
    wanted = [x for x in leaves if x is not None]
    exact = [o.detach(), *torch.autograd.grad(o, wanted, dO.double())]
    found = {}
    for name, (_, both) in runs.items():
        values = [x for x in both() if x is not None]
        found[name] = [((x.double() - y).norm() / y.norm()).item() for x, y in zip(values, exact)]
    for i, label in enumerate(('o', 'dq', 'dk', 'dv', 'dg')[: len(exact)]):
        shown = ' '.join(f'{name} {values[i]:.2e}' for name, values in found.items())
        print(f'error {op:11} {low}..{high} T{T} {label:3} {shown}', flush=True)
    return found


def main():
    library, out = sys.argv[1:3]
    ops = sys.argv[3].split(',') if len(sys.argv) > 3 else list(OPS)
    lengths = [int(T) for T in sys.argv[4].split(',')] if len(sys.argv) > 4 else [8192, 32768, 131072]
    H, K, V = map(int, sys.argv[5].split(',')) if len(sys.argv) > 5 else (16, 128, 128)
    torch.manual_seed(0)
    kernels = GatedLinear(library)
    with open(out, 'a') as file:
        def report(row):
            file.write(json.dumps(row) + '\n')
            file.flush()

        for op in ops:
            for low, high in [(-0.1, -1e-4), (-20, -1e-4)][: 1 if op == 'linear' else 2]:
                report(dict(op=op, gates=[low, high], errors=errors(kernels, op, 1024, H, K, V, low, high)))
            for T in lengths:
                runs = runs_of(kernels, op, inputs(op, T, H, K, V))
                row = dict(op=op, T=T, H=H, K=K, V=V)
                for name, (forward, both) in runs.items():
                    row[name] = dict(forward=milliseconds(forward, 200), both=milliseconds(both, 400),
                                     peak_mb=round(peak_bytes(both) / 1e6))
                    if T <= 8192:
                        try:
                            row[name]['graph'] = milliseconds(graph_of(both), 100)
                        except RuntimeError as error:
                            row[name]['graph'] = str(error)[:100]
                ratio = row['ours']['both'][0] / row['peer']['both'][0] if 'peer' in row else float('nan')
                shown = ' '.join(f'{name} {row[name]}' for name in runs)
                print(f'{op:11} T{T:7} H{H} K{K} V{V} {shown} ratio {ratio:.2f}', flush=True)
                report(row)
                del runs
                torch.cuda.empty_cache()


main()
