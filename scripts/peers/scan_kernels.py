"""Times the CUDA kernels of token-shift, causal-conv, vector-scan and selective-scan in one run with a copy of memory and,
where they are on PYTHONPATH, flash-linear-attention's and mamba-ssm's kernels at the same shapes.

usage: [PYTHONPATH=<flash-linear-attention checkout>] python3 scan_kernels.py LIBRARY.so OUT.jsonl [op,op]
B = 1, bf16 (weights, rates and states f32). Milliseconds: median, 5th and 95th percentile of replays of a CUDA graph, by CUDA
events; `rate` counts the bytes of the floor, each input read once and each output written once, as a share of the copy's.
"""

import importlib
import json
import os
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cuda'))
from kernel_calls import Library  # noqa: E402
from scans import CausalConv, SelectiveScan, TokenShift, VectorScan  # noqa: E402
from timing import graph_of, spread  # noqa: E402

SHAPES = dict(shift=[(8192, 2048), (131072, 2048)], conv=[(8192, 2048), (32768, 2048), (131072, 2048)],
              vector=[(8192, 2048), (32768, 1024), (32768, 2048), (131072, 2048), (131072, 256)],
              selective=[(8192, 4096), (32768, 1536), (32768, 4096), (131072, 4096)])


def median_and_spread(run):
    """Milliseconds of replays."""
    replay = graph_of(run)
    pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(30)]
    for begin, end in pairs:
        begin.record()
        replay()
        end.record()
    torch.cuda.synchronize()
    return spread([begin.elapsed_time(end) for begin, end in pairs[5:]])


def differentiable(forward, leaves, adjoint):
    """A peer's passes: forward alone, and both."""
    leaves = [x.detach().requires_grad_() for x in leaves]
    return (lambda: forward(*[x.detach() for x in leaves])), (
        lambda: torch.autograd.grad(forward(*leaves), leaves, adjoint))


def found(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def draw(*shape):
    return torch.randn(shape, device='cuda').bfloat16()


def shift_runs(library, T, D):
    shift, x, dy = TokenShift(library), draw(1, T, D), draw(1, T, D)
    yield 'ours forward', lambda: shift.forward(x, None, None), 4 * T * D
    yield 'ours backward', lambda: shift.backward(dy, None, False), 4 * T * D
    if peer := found('fla.modules.token_shift'):
        forward, both = differentiable(peer.token_shift, [x], dy)
        yield 'peer (shift - x) forward', forward, 4 * T * D
        yield 'peer (shift - x) both', both, 8 * T * D


def conv_runs(library, T, D):
    conv, x, dy = CausalConv(library), draw(1, T, D), draw(1, T, D)
    weight, bias, halo = torch.randn(D, 4, device='cuda'), torch.randn(D, device='cuda'), draw(1, 3, D)
    arguments = x, halo, weight, bias, None, True
    yield 'ours forward', lambda: conv.forward(*arguments), 4 * T * D
    yield 'ours backward', lambda: conv.backward(*arguments, dy), 6 * T * D
    if peer := found('fla.modules.conv.causal_conv1d'):
        run = lambda *leaves: peer.causal_conv1d(*leaves, activation='silu')[0]
        forward, both = differentiable(run, [x, weight.bfloat16(), bias.bfloat16()], dy)
        yield 'peer forward', forward, 4 * T * D
        yield 'peer both', both, 10 * T * D


def vector_runs(library, T, C):
    scan, x, dh = VectorScan(library), draw(1, T, C), draw(1, T, C)
    for g, bytes_of_gate in ((F.logsigmoid(torch.randn(1, T, C, device='cuda')), 4), (F.logsigmoid(draw(1, T, C)), 2)):
        kind = f'gates of {bytes_of_gate} bytes'
        h, _ = scan.forward(x, g, None, None)
        yield f'ours forward, {kind}', lambda: scan.forward(x, g, None, None), (4 + bytes_of_gate) * T * C
        backward_bytes = (6 + 2 * bytes_of_gate) * T * C
        yield f'ours backward, {kind}', lambda: scan.backward(h, g, None, None, dh, None), backward_bytes
        yield f'ours summarize, {kind}', lambda: scan.summarize(x, g, None), (2 + bytes_of_gate) * T * C
    for name in ('chunk', 'fused_recurrent'):
        if peer := found('fla.ops.hgrn.' + name):
            run = getattr(peer, name + '_hgrn')
            forward, both = differentiable(lambda *leaves: run(*leaves)[0], [x, g], dh)
            yield f'peer {name} forward, {kind}', forward, 6 * T * C
            yield f'peer {name} both, {kind}', both, 16 * T * C


def selective_runs(library, T, D, N=16):
    scan, dy = SelectiveScan(library), draw(1, T, D)
    delta = F.softplus(torch.randn(1, T, D, device='cuda') - 4).bfloat16()
    A = -torch.arange(1, N + 1, device='cuda').float().expand(D, N).contiguous()
    tensors = [draw(1, T, D), delta, A, draw(1, T, N), draw(1, T, N)]
    *_, kept = scan.forward(tensors, None, None)
    yield 'ours forward', lambda: scan.forward(tensors, None, None), 6 * T * D + 4 * T * N
    yield 'ours backward', lambda: scan.backward(tensors, None, kept, dy, None), 10 * T * D + 8 * T * N
    yield 'ours summarize', lambda: scan.summarize(tensors, None), 4 * T * D + 2 * T * N
    if peer := found('mamba_ssm.ops.selective_scan_interface'):
        wide = [x.transpose(1, 2).contiguous() if x.dim() == 3 else x for x in tensors]
        forward, both = differentiable(peer.selective_scan_fn, wide, dy.transpose(1, 2).contiguous())
        yield 'mamba-ssm forward', forward, 6 * T * D
        yield 'mamba-ssm both', both, 16 * T * D


RUNS = dict(shift=shift_runs, conv=conv_runs, vector=vector_runs, selective=selective_runs)


def main():
    library, out = Library(sys.argv[1]), sys.argv[2]
    torch.manual_seed(0)
    source = torch.randn(1 << 28, device='cuda')
    target = torch.empty_like(source)
    copy_rate = 2 * 4 * source.numel() / median_and_spread(lambda: torch.mul(source, 1, out=target))[0] / 1e9
    print(f'copy: {copy_rate:.2f} TB/s', flush=True)
    del source, target
    with open(out, 'a') as file:
        for op in sys.argv[3].split(',') if len(sys.argv) > 3 else RUNS:
            for shape in SHAPES[op]:
                for name, run, size in RUNS[op](library, *shape):
                    try:
                        times = median_and_spread(run)
                    except Exception as error:  # a peer that cannot be captured or compiled
                        print(f'{op} {shape} {name}: {type(error).__name__} {str(error)[:150]}', flush=True)
                        continue
                    rate = size / times[0] / 1e9 / copy_rate
                    print(f'{op:9} T{shape[0]} D{shape[1]} {name:34} {times} rate {rate:.2f}', flush=True)
                    row = dict(op=op, shape=shape, name=name, ms=times, copy_tbs=copy_rate, rate=rate)
                    file.write(json.dumps(row) + '\n')
                torch.cuda.empty_cache()


main()
