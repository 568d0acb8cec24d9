"""Times the CUDA kernels of ops/rms-norm, ops/gated-norm and ops/swiglu in bf16 beside a copy on the device, PyTorch, and
flash-linear-attention where PYTHONPATH has it (PEERS=0: not): time_norms.py LIBRARY.so [SHARES ...]. A line a case: microseconds, median (tenth to
ninetieth percentile), and the bytes that the op must read and write, over that time, as a share of the copy's rate."""

import os
import statistics
import sys

import torch
import torch.nn.functional as F

from kernel_calls import Library
from norms import GatedNorm, Norm, Swiglu

EPS = 1e-5
ROUNDS = int(os.environ.get('ROUNDS', 25))


def timed(candidates):
    """Milliseconds by name, in turns, each with memory that no cache has."""
    flush = torch.empty(128 << 20, dtype=torch.uint8, device='cuda')
    times = {name: [] for name in candidates}
    for round in range(ROUNDS + 3):
        for name, run in candidates.items():
            flush.zero_()
            # Meanwhile the calls of `run` are enqueued: no time is that of Python.
            torch.cuda._sleep(1_000_000)
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            run()
            end.record()
            torch.cuda.synchronize()
            if round >= 3:
                times[name].append(begin.elapsed_time(end))
    return times


def report(label, candidates, bytes_moved, copy_rate):
    """Beside a copy of as many bytes: at small sizes no kernel has the rate of a long copy."""
    source = torch.empty(bytes_moved // 2, dtype=torch.uint8, device='cuda')
    target = torch.empty_like(source)
    for name, times in timed({'copy': lambda: target.copy_(source), **candidates}).items():
        order = sorted(times)
        median = statistics.median(order)
        rate = bytes_moved / median / 1e9
        low, high = order[len(order) // 10] * 1e3, order[-1 - len(order) // 10] * 1e3
        print(f'{label:44s} {name:22s} {median * 1e3:8.1f} us ({low:.1f} to {high:.1f}) {rate:5.2f} TB/s '
              f'{rate / copy_rate:5.2f} of copy', flush=True)


def peers():
    if os.environ.get('PEERS') == '0':
        return {}
    try:
        from fla.modules import FusedRMSNormGated, RMSNorm
        from fla.modules.activations import swiglu
        return dict(norm=RMSNorm, gated=FusedRMSNormGated, swiglu=swiglu)
    except Exception as error:
        print('no flash-linear-attention:', error)
        return {}


def both_ways(run, leaves, dy):
    """What autograd does of `run`, as (forward, backward)."""
    y = run()
    return run, lambda: torch.autograd.grad(y, leaves, dy, retain_graph=True)


def main():
    library = Library(sys.argv[1])
    norm, gated, swiglu, peer = Norm(library), GatedNorm(library), Swiglu(library), peers()
    big = torch.empty(1 << 30, dtype=torch.uint8, device='cuda')
    target = torch.empty_like(big)
    copy = statistics.median(timed(dict(copy=lambda: target.copy_(big)))['copy'])
    copy_rate = 2 * big.numel() / copy / 1e9
    print(f'copy of 1 GiB: {copy * 1e3:.1f} us, {copy_rate:.2f} TB/s', flush=True)
    del big, target

    for rows, cols in ((8192, 2048), (32768, 2048), (32768 * 4, 512), (32768 * 16, 128)):
        draw = lambda: torch.randn(rows, cols, device='cuda', dtype=torch.bfloat16)
        x, branch, dy, d_stream, gate = draw(), draw(), draw(), draw(), draw()
        weight, size = torch.rand(cols, device='cuda'), 2 * rows * cols
        _, _, rstd = norm.forward(x, None, weight, EPS)
        half = weight.bfloat16().requires_grad_()
        leaf, gate_leaf = x.clone().requires_grad_(), gate.clone().requires_grad_()
        forward, backward = both_ways(lambda: F.rms_norm(leaf, (cols,), half, EPS), (leaf, half), dy)
        ways = {'longscan': (lambda: norm.forward(x, None, weight, EPS), lambda: norm.backward(dy, x, weight, rstd, None)),
                'torch': (forward, backward)}
        if peer:
            theirs = peer['norm'](cols, eps=EPS, dtype=torch.bfloat16).cuda()
            ways['fla'] = both_ways(lambda: theirs(leaf), (leaf, theirs.weight), dy)
        label = f'[{rows}, {cols}]'
        report(f'rms-norm {label} forward', {name: way[0] for name, way in ways.items()}, 2 * size, copy_rate)
        backwards = {name: way[1] for name, way in ways.items()}
        for shares in map(int, sys.argv[2:]):
            backwards[f'longscan, {shares} shares'] = lambda shares=shares: norm.backward(dy, x, weight, rstd, None, shares)
        backwards['longscan, l2-norm'] = lambda: norm.backward(dy, x, None, rstd, None)
        report(f'rms-norm {label} backward', backwards, 3 * size, copy_rate)

        ours = {'longscan': lambda: norm.forward(x, branch, weight, EPS)}
        back = {'longscan': lambda: norm.backward(dy, x, weight, rstd, d_stream)}
        if peer:
            pair = theirs(leaf, residual=branch, prenorm=True)
            ours['fla'] = lambda: theirs(leaf, residual=branch, prenorm=True)
            back['fla'] = lambda: torch.autograd.grad(pair, (leaf, theirs.weight), (dy, d_stream), retain_graph=True)
        report(f'residual norm {label} forward', ours, 4 * size, copy_rate)
        report(f'residual norm {label} backward', back, 4 * size, copy_rate)

        ours = {'longscan': lambda: gated.forward(x, gate, weight, EPS)}
        back = {'longscan': lambda: gated.backward(dy, x, gate, weight, rstd)}
        if peer:
            by_gate = peer['gated'](cols, eps=EPS, dtype=torch.bfloat16).cuda()
            ours['fla'], back['fla'] = both_ways(lambda: by_gate(leaf, gate_leaf), (leaf, gate_leaf, by_gate.weight), dy)
        report(f'gated norm {label} forward', ours, 3 * size, copy_rate)
        report(f'gated norm {label} backward', back, 5 * size, copy_rate)
        del x, branch, dy, d_stream, gate, leaf, gate_leaf, forward, backward, ways, ours, back, backwards

    rows, cols = 32768, 5632
    gate, up, dy = (torch.randn(rows, cols, device='cuda', dtype=torch.bfloat16) for _ in range(3))
    size, leaves = 2 * rows * cols, [gate.clone().requires_grad_(), up.clone().requires_grad_()]
    ways = {'longscan': (lambda: swiglu.forward(gate, up), lambda: swiglu.backward(dy, gate, up)),
            'torch': both_ways(lambda: F.silu(leaves[0]) * leaves[1], leaves, dy)}
    if peer:
        ways['fla'] = both_ways(lambda: peer['swiglu'](*leaves), leaves, dy)
    report(f'swiglu [{rows}, {cols}] forward', {name: way[0] for name, way in ways.items()}, 3 * size, copy_rate)
    report(f'swiglu [{rows}, {cols}] backward', {name: way[1] for name, way in ways.items()}, 5 * size, copy_rate)


main()
