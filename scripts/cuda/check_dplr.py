"""Holds the chunkwise CUDA kernels of ops/delta-rule/dplr (RWKV-7, DPLR) against f64: outputs, states and every gradient.

usage: python3 check_dplr.py LIBRARY.so [--calls-only] [--forward-only] [CASES]
`--calls-only`: makes the calls and compares nothing, for compute-sanitizer. CASES: numbers of the list below, all without.
Errors are |x - f64| / |f64| over a whole tensor. Exit status 1 if one is over the bound, not finite, or not the same
bits when the call is made again.
"""

import sys

import torch
import torch.nn.functional as F

from delta_general import Kind, reference
from dplr import Dplr
from kernel_calls import Checks, asked_for, exact_leaves, gradients, log_uniform, starts

KINDS = [Kind('diagonal', 'dplr'), Kind('scalar', 'dplr'), Kind('none', 'dplr'), Kind('diagonal', 'own')]
# B, T, H, K, V, log decays from .. to, tokens where documents start
CASES = [
    (1, 64, 1, 64, 64, (-0.6, -1e-2), None),
    (2, 200, 2, 64, 64, (-0.6, -1e-4), None),
    (3, 1, 16, 8, 8, (-1, -1e-4), None),
    (1, 193, 2, 128, 128, (-0.6, -1e-4), None),
    (2, 330, 3, 64, 64, (-0.6, -1e-2), [0, 1, 2, 31, 64, 100, 127, 128, 200]),
    (1, 150, 2, 128, 192, (-20, -1e-4), [70]),
    (2, 129, 2, 40, 72, (-20, -1e-4), None),
    (1, 90, 2, 104, 8, (-3, -1e-3), [40]),
    (1, 300, 1, 64, 256, (-8, -5), None),
    (1, 1100, 1, 64, 64, (-1e-2, -1e-4), None),
]
# What operands in bf16 are off by, of which those of X and Z meet twice; without much decay chunks' errors add up.
BOUNDS = dict(o=5e-3, ht=5e-3, dg=8e-3) | {name: 7e-3 for name in ('dq', 'dk', 'dv', 'db', 'de', 'dbeta', 'dh0')}


def draw(kind, B, T, H, K, V, low, high):
    def normal(*shape):
        return torch.randn(shape, device='cuda').bfloat16()

    def unit(length):
        return (length * F.normalize(torch.randn(B, T, H, K, device='cuda'), dim=-1)).bfloat16()

    def between(low, high):
        return torch.empty(B, T, H, K, device='cuda').uniform_(low, high)

    # As models have them: what is erased shrinks, so that errors do not grow without bound either.
    key = unit(1)
    e = None
    if kind.erase == 'dplr':
        b = unit(1)
        e = (-b * between(0, 1)).bfloat16()
    else:
        b = (key * between(0.2, 1)).bfloat16()
    gates = dict(none=None, scalar=(B, T, H), diagonal=(B, T, H, K))[kind.gate]
    inputs = dict(
        q=normal(B, T, H, K),
        k=key,
        v=normal(B, T, H, V),
        beta=None if kind.erase == 'dplr' and kind.gate != 'scalar' else 1.5 * torch.rand(B, T, H, device='cuda'),
        g=None if gates is None else log_uniform(low, high, *gates),
        b=b,
        e=e,
    )
    return inputs, normal(B, T, H, V)


def check(checks, kernels, kind, case, flags):
    B, T, H, K, V, (low, high), tokens = case
    inputs, dO = draw(kind, B, T, H, K, V, low, high)
    resets, scale = starts(tokens, B, T), 0.7
    h0, dht = torch.randn(B, H, V, K, device='cuda'), torch.randn(B, H, V, K, device='cuda')

    def ours():
        o, ht, kept = kernels.forward(kind, inputs, resets, h0, scale)
        found = dict(o=o, ht=ht)
        return found if '--forward-only' in flags else {**found, **kernels.backward(kind, inputs, kept, dO, resets, dht, scale)}

    if '--calls-only' in flags:
        ours()
        return
    leaves = exact_leaves(**inputs, h0=h0)
    o, ht = reference(kind, **leaves, resets=resets, scale=scale)
    exact = dict(o=o.detach(), ht=ht.detach())
    if '--forward-only' not in flags:
        exact |= gradients((o, ht), (dO, dht), leaves)
    label = f'{kind}, B{B} T{T} H{H} K{K} V{V} {low}..{high}{" documents" if tokens else ""}'
    checks(label, BOUNDS, ours(), ours(), exact)


def check_isolation(checks, kernels, kind, flags):
    """A document of NaN leaves the next one's bits, and those of the one before, as they are."""
    for begin, end in ((37, 83), (70, 90), (64, 128), (130, 200)):
        inputs, dO = draw(kind, 1, 200, 2, 64, 72, -1, -1e-3)
        resets = starts([begin, end], 1, 200)

        def others():
            o, ht, kept = kernels.forward(kind, inputs, resets)
            found = [o]
            if '--forward-only' not in flags:
                found += [x for name, x in kernels.backward(kind, inputs, kept, dO, resets).items() if name != 'dh0']
            return [torch.cat((x[:, :begin], x[:, end:]), 1) for x in found] + ([ht] if end < 200 else [])

        before = others()
        for x in (*inputs.values(), dO):
            if x is not None:
                x[:, begin:end] = float('nan')
        good = all(torch.equal(x, y) and x.isfinite().all() for x, y in zip(before, others()))
        checks.add(good, f'{kind}: documents do not see each other, {begin}..{end}')


def main():
    torch.manual_seed(0)
    kernels, checks = Dplr(sys.argv[1], poison=True), Checks()
    flags = [x for x in sys.argv[2:] if x.startswith('--')]
    cases, _ = asked_for(sys.argv[2:], CASES, [])
    for i, case in cases:
        for kind in KINDS:
            check(checks, kernels, kind, case, flags)
    if '--calls-only' not in flags:
        for kind in KINDS:
            check_isolation(checks, kernels, kind, flags)
    torch.cuda.synchronize()
    sys.exit(checks.finish())


main()
