"""Holds the CUDA kernels of ops/delta-rule against f64: outputs, states and every gradient, at ugly shapes.

usage: python3 check_delta_rule.py LIBRARY.so [--calls-only] [GATE ...]     (none scalar diagonal none-own scalar-own)
`-own`: keys that erase of their own, as Comba has them.
`--calls-only`: makes the calls at small shapes and compares nothing, for compute-sanitizer.
Errors are |x - f64| / |f64| over a whole tensor. Exit status 1 if one is over the bound, not finite, or not the same
bits when the call is made again.
"""

import sys

import torch
import torch.nn.functional as F

from delta_rule import DeltaRule, erase_keys, reference, split_kind
from kernel_calls import Checks, by_name, starts

# bf16 has 8 bits: a chain of a few roundings stays near 1 %. Decay gradients are differences of such sums.
BOUNDS = dict(o=1e-2, ht=1e-2, dq=1e-2, dk=1.2e-2, dv=1e-2, dbeta=1.2e-2, dg=2e-2, dh0=1e-2, db=1.2e-2)
NAMES = ('o', 'ht', 'dq', 'dk', 'dv', 'dbeta', 'dg', 'dh0', 'db')

# B, T, H, K, V, log decays from .. to, tokens where documents start
CASES = [
    (1, 1, 9, 64, 64, (-1, 0), None),
    (2, 63, 3, 32, 64, (-0.5, 0), None),
    (1, 600, 2, 64, 32, (-1e-3, -1e-4), None),
    (1, 129, 1, 128, 128, (-20, -1e-4), None),
    (2, 150, 2, 64, 128, (-1, 0), [0, 1, 2, 31, 64, 100, 147]),
    (1, 900, 2, 128, 128, (-0.1, 0), [350]),
    (1, 777, 2, 128, 64, (-0.3, -1e-4), None),
    (1, 300, 1, 256, 128, (-0.2, 0), [130, 192]),
    (1, 330, 2, 128, 256, (-5, 0), None),
    (1, 260, 2, 192, 64, (-0.5, 0), [70]),
    (1, 520, 1, 256, 256, (-0.05, 0), None),
    (2, 700, 1, 40, 72, (-0.05, 0), [5, 300]),
    (1, 300, 40, 64, 64, (-0.5, 0), [77]),
    # Whole chunks, mild ones beside steep ones, some with document starts.
    (2, 333, 3, 128, 128, (-0.5, 0), [64, 70, 250]),
    (1, 256, 3, 128, 128, (-0.05, 0), None),
    (3, 200, 2, 128, 128, (-6, -1e-4), None),
    # Channels that decay far in a chunk, and in a sub-chunk of 16.
    (2, 260, 2, 128, 128, (-12, -0.01), None),
    (1, 260, 2, 128, 128, (-40, -0.05), [70]),
    (1, 260, 2, 64, 64, (-40, -0.05), None),
]
# Whole chunks and parts, every width of the sweeps.
SANITIZED = [
    (1, 150, 2, 64, 72, (-1, 0), [2, 31, 64, 100]),
    (1, 300, 1, 128, 128, (-1, 0), None),
    (1, 150, 1, 192, 64, (-1, 0), [70]),
    (1, 130, 1, 256, 128, (-1, 0), None),
    (1, 200, 2, 64, 64, (-1, 0), [70]),
]


def draw(*shape):
    return torch.randn(shape, device='cuda').bfloat16()


def inputs(gate, B, T, H, K, V, low, high):
    q, v, dO = draw(B, T, H, K), draw(B, T, H, V), draw(B, T, H, V)
    k = F.normalize(torch.randn(B, T, H, K, device='cuda'), dim=-1).bfloat16()
    beta = torch.rand(B, T, H, device='cuda')
    # Spread evenly over the orders of magnitude of the range.
    ends = [torch.tensor(max(-x, 1e-4)).log().item() for x in (high, low)]
    shape = (B, T, H) if gate == 'scalar' else (B, T, H, K)
    g = None if gate == 'none' else -torch.empty(shape, device='cuda').uniform_(*ends).exp()
    return q, k, v, beta, g, dO


def check(kernels, checks, kind, case, carried, calls_only):
    B, T, H, K, V, (low, high), tokens = case
    gate, has_own = split_kind(kind)
    *tensors, dO = inputs(gate, B, T, H, K, V, low, high)
    b = erase_keys(tensors[1]) if has_own else None
    resets = starts(tokens, B, T)
    if carried:
        tensors[3][:, 0] = 0  # a beta of zero
    h0 = torch.randn(B, H, V, K, device='cuda') if carried else None
    dht = torch.randn(B, H, V, K, device='cuda') if carried else None

    def ours():
        o, ht, kept = kernels.forward(gate, *tensors, resets, h0, b=b)
        return [o, ht, *kernels.backward(gate, *tensors, kept, dO, resets, h0, dht, b=b)]

    if calls_only:
        return ours()
    leaves = [None if x is None else x.double().requires_grad_() for x in (*tensors, h0, b)]
    o, ht = reference(gate, *leaves[:5], resets, leaves[5], b=leaves[6])
    loss = (o * dO.double()).sum() + (0 if dht is None else (ht * dht.double()).sum())
    wanted = [x for x in leaves if x is not None]
    found = dict(zip(map(id, wanted), torch.autograd.grad(loss, wanted)))
    exact = [o, ht, *(None if x is None else found[id(x)] for x in leaves)]

    label = (f'{kind:10} B{B} T{T} H{H} K{K} V{V} {low}..{high}' + ' documents' * (tokens is not None)
             + ' carried' * carried)
    checks(label, BOUNDS, *by_name(NAMES if has_own else NAMES[:-1], ours(), ours(), exact if has_own else exact[:-1]))


def check_isolation(kernels, checks, kind, K):
    """A document of NaN leaves the next one's bits as they are, in a chunk of both and in whole ones."""
    B, T, H, V, split = 1, 320, 2, K, 83
    gate, has_own = split_kind(kind)
    *tensors, dO = inputs(gate, B, T, H, K, V, -1, -1e-3)
    b = erase_keys(tensors[1]) if has_own else None
    resets = starts([split], B, T)

    def second():
        o, _, kept = kernels.forward(gate, *tensors, resets, b=b)
        found = [o, *kernels.backward(gate, *tensors, kept, dO, resets, b=b)]
        return [x[:, split:].clone() for x in found if x is not None]

    before = second()
    for x in (*tensors, dO, b):
        if x is not None:
            x[:, :split] = float('nan')
    good = all(torch.equal(x, y) and x.isfinite().all() for x, y in zip(before, second()))
    checks.add(good, f'{kind:10} K{K} documents do not see each other')


def main():
    torch.manual_seed(0)
    kernels, checks = DeltaRule(sys.argv[1], poison=True), Checks()
    calls_only = '--calls-only' in sys.argv
    kinds = [x for x in sys.argv[2:] if not x.startswith('--')] or ('none', 'scalar', 'diagonal', 'none-own', 'scalar-own')
    for kind in kinds:
        if not calls_only:
            for K in (64, 128):
                check_isolation(kernels, checks, kind, K)
        for i, case in enumerate(SANITIZED if calls_only else CASES):
            check(kernels, checks, kind, case, i % 2 == 1, calls_only)
    sys.exit(checks.finish())


if __name__ == '__main__':
    main()
