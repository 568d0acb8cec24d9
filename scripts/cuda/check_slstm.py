"""Holds the CUDA kernels of ops/slstm against f64: outputs, states and every gradient, at ugly shapes.

usage: python3 check_slstm.py LIBRARY.so [--calls-only] [bfloat16] [float32] [NUMBERS OF CASES]
`--calls-only`: makes a few small calls and compares nothing, for compute-sanitizer. Exit status 1 if an error is over its
bound, not finite, or not the same bits when the call is made again.
"""

import sys

import torch

from kernel_calls import Checks, Library, asked_for, exact_leaves, gradients, starts
from slstm import Slstm, reference

# All is f32 inside: bf16 outputs are rounded once.
EXACT = 2e-5
ROUNDED = dict(h=3e-3, ht=EXACT, dgates=3e-3, drecurrent=EXACT, dh0=EXACT)
# B, T, H, N, input and forget gates from .. to, tokens where documents start
CASES = [
    (1, 1, 1, 1, (-1, 1), None),
    (2, 37, 3, 5, (-2, 2), None),
    (1, 70, 1, 33, (-20, 20), None),
    (1, 60, 2, 16, (5, 8), None),
    (2, 50, 2, 7, (-1, 1), [0, 1, 2, 31, 47]),
    (1, 200, 2, 64, (-1, 3), [121]),
    (1, 150, 1, 100, (-1, 3), None),
    (2, 140, 2, 128, (-1, 1), [63]),
    (1, 90, 2, 256, (-1, 1), None),
]
# Each number of units to a warp; the first are two parts of the recurrent gradient.
SANITIZED = [
    (1, 66, 1, 5, (-1, 1), None),
    (2, 9, 2, 7, (-1, 1), [4]),
    (1, 4, 1, 40, (-1, 1), None),
    (1, 6, 1, 66, (-1, 1), None),
    (1, 2, 1, 130, (-1, 1), None),
]


def draw_case(case, dtype):
    B, T, H, N, (low, high), tokens = case
    gates = torch.randn(B, T, H, 4, N, device='cuda')
    gates[:, :, :, :2].uniform_(low, high)
    recurrent = torch.randn(H, N, 4, N, device='cuda') * N**-0.5
    return (gates.to(dtype), recurrent), starts(tokens, B, T)


def check(slstm, checks, case, dtype, carried, calls_only):
    B, T, H, N = case[:4]
    inputs, resets = draw_case(case, dtype)
    dh = torch.randn(B, T, H, N, device='cuda').to(dtype)
    h0 = dht = None
    if carried:
        h0, dht = torch.randn(B, H, 4, N, device='cuda'), torch.randn(B, H, 4, N, device='cuda')
        h0[:, :, 1] = 1 + h0[:, :, 1].abs()
        dht[:, :, 2] = 0

    def ours():
        h, ht, kept = slstm.forward(*inputs, resets, h0)
        dgates, drecurrent, dh0 = slstm.backward(*inputs, kept, dh, resets, h0, dht)
        return dict(h=h, ht=ht, dgates=dgates, drecurrent=drecurrent.double().sum(0), dh0=dh0)

    if calls_only:
        return ours()
    leaves = exact_leaves(gates=inputs[0], recurrent=inputs[1], h0=h0)
    h, ht = reference(leaves['gates'], leaves['recurrent'], resets, leaves['h0'])
    exact = dict(h=h.detach(), ht=ht.detach(), **gradients([h, ht], [dh, dht], leaves))
    checks(f'{dtype} {case} carried {carried}', EXACT if dtype == torch.float32 else ROUNDED, ours(), ours(), exact)


def check_isolation(slstm, checks, dtype):
    """A document of NaN leaves the next one's bits as they are."""
    split = 43
    inputs, resets = draw_case((1, 100, 2, 32, (-1, 1), [split]), dtype)
    dh = torch.randn(1, 100, 2, 32, device='cuda').to(dtype)

    def second():
        h, ht, kept = slstm.forward(*inputs, resets)
        return [x[:, split:].clone() for x in (h, slstm.backward(*inputs, kept, dh, resets)[0])] + [ht]

    before = second()
    for x in (inputs[0], dh):
        x[:, :split] = float('nan')
    good = all(torch.equal(x, y) and x.isfinite().all() for x, y in zip(before, second()))
    checks.add(good, f'{dtype} documents do not see each other')


def main():
    torch.manual_seed(0)
    slstm, checks = Slstm(Library(sys.argv[1], poison=True)), Checks()
    calls_only = '--calls-only' in sys.argv
    cases, types = asked_for(sys.argv[2:], SANITIZED if calls_only else CASES, (torch.float32, torch.bfloat16))
    for dtype in types:
        for i, case in cases:
            check(slstm, checks, case, dtype, i % 2 == 1, calls_only)
        if not calls_only:
            check_isolation(slstm, checks, dtype)
    sys.exit(checks.finish())


main()
