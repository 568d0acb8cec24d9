"""Times the CUDA kernels of ops/delta-rule with a gate per channel: libraries in turns, in CUDA graphs.

usage: python3 time_delta_rule.py LIBRARY.so [LIBRARY.so ...] [--tokens 8192] [--heads 16] [--size 128]
Gates: mild ones, as models draw them (`model 0`: as KDA's layer begins; `model 1`, `model 2`: with what the input adds to the
logits before the softplus normal of that deviation), and the same steep one everywhere. Milliseconds: median (5th - 95th
percentile) of 40 calls in random turns.
"""

import argparse
import math
import random
import statistics

import torch
import torch.nn.functional as F

from check_delta_rule import draw
from delta_rule import DeltaRule

ROUNDS, CALLS = 40, 4
KINDS = ['mild', 'model 0', 'model 1', 'model 2', '-2', '-6']


def model_gates(B, T, H, K, deviation):
    """-A softplus(x + dt): A even in 1 .. 16 by head, softplus(dt) log-uniform in 1e-3 .. 0.1 by channel, x normal."""
    A = 1 + 15 * (torch.arange(H, device='cuda') + 0.5) / H
    step = torch.empty(H, K, device='cuda').uniform_(math.log(1e-3), math.log(0.1)).exp()
    dt = step + (-torch.expm1(-step)).log()
    return -A[:, None] * F.softplus(deviation * torch.randn(B, T, H, K, device='cuda') + dt)


def gates(kind, B, T, H, K):
    if kind.startswith('model'):
        return model_gates(B, T, H, K, float(kind.split()[1]))
    if kind == 'mild':
        return F.logsigmoid(torch.randn(B, T, H, K, device='cuda')) / 16
    return torch.full((B, T, H, K), float(kind), device='cuda')


def graphs(kernels, tensors, dO):
    """Forward, backward and both passes, each CALLS times."""
    kept = kernels.forward('diagonal', *tensors)[2]

    def both():
        kernels.backward('diagonal', *tensors, kernels.forward('diagonal', *tensors)[2], dO)

    passes = dict(forward=lambda: kernels.forward('diagonal', *tensors),
                  backward=lambda: kernels.backward('diagonal', *tensors, kept, dO), both=both)
    found = {}
    for name, call in passes.items():
        call()
        torch.cuda.synchronize()
        found[name] = torch.cuda.CUDAGraph()
        with torch.cuda.graph(found[name]):
            for _ in range(CALLS):
                call()
    return found, kept


def milliseconds(graph):
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    graph.replay()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / CALLS


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('libraries', nargs='+')
    for name, default in (('tokens', 8192), ('heads', 16), ('size', 128)):
        parser.add_argument(f'--{name}', type=int, default=default)
    args = parser.parse_args()
    shape = 1, args.tokens, args.heads, args.size
    torch.manual_seed(0)
    print(torch.cuda.get_device_name(), shape)
    print('| gates | pass |', ' | '.join(args.libraries), '|\n| --- | --- |', ' --- |' * len(args.libraries))
    q, v, dO = (draw(*shape) for _ in range(3))
    k = F.normalize(torch.randn(shape, device='cuda'), dim=-1).bfloat16()
    beta = torch.rand(shape[:3], device='cuda')
    for kind in KINDS:
        tensors = q, k, v, beta, gates(kind, *shape)
        made = {library: graphs(DeltaRule(library), tensors, dO) for library in args.libraries}
        for name in ('forward', 'backward', 'both'):
            times = {library: [] for library in made}
            for i in range(1 + ROUNDS):
                for library in random.sample(args.libraries, len(made)):
                    time = milliseconds(made[library][0][name])
                    if i > 0:
                        times[library].append(time)
            cells = []
            for x in times.values():
                ends = statistics.quantiles(x, n=20)
                cells.append(f'{statistics.median(x):.3f} ({ends[0]:.3f} – {ends[-1]:.3f})')
            print(f'| {kind} | {name} |', ' | '.join(cells), '|', flush=True)
        del made


if __name__ == '__main__':
    main()
