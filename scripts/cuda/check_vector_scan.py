"""Holds the CUDA kernels of ops/vector-scan against f64: outputs, states and every gradient, at ugly shapes.

usage: python3 check_vector_scan.py LIBRARY.so [--calls-only] [bfloat16] [float32] [NUMBERS OF CASES]
`--calls-only`: makes a few small calls and compares nothing, for compute-sanitizer. Exit status 1 if an error is over its bound,
not finite, or not the same bits when the call is made again.
"""

import sys

import torch

from kernel_calls import Checks, Library, asked_for, exact_leaves, gradients, log_uniform, starts
from scans import VectorScan, vector_scan_reference

# x, g: bf16 outputs are rounded once, dg meets the kept outputs, rounded too; what is f32 stays f32.
ROUNDED = dict(h=3e-3, ht=1e-5, dx=3e-3, dg=4e-3, dh0=1e-5, E=1e-5, M=1e-5, G=1e-5)
TYPES = [(torch.bfloat16, torch.bfloat16, ROUNDED), (torch.bfloat16, torch.float32, ROUNDED),
         (torch.float32, torch.float32, 1e-5)]
# B, T, C, log decays from .. to, tokens where documents start
CASES = [
    (1, 1, 1, (-1, -0.1), None),
    (2, 63, 3, (-0.5, -1e-3), [0, 1, 7, 8]),
    (1, 511, 16, (-20, -1e-4), None),
    (2, 513, 18, (-1, -1e-4), [0, 8, 15, 16, 63, 64, 511, 512]),
    (1, 1700, 33, (-1e-2, -1e-4), None),
    (1, 1536, 2048, (-20, -1e-4), [700]),
    (3, 1025, 770, (-1e-3, -1e-4), [513]),
]
# Cut into segments, and several steps to a block.
SANITIZED = [
    (1, 63, 3, (-0.5, -1e-3), [0, 1, 7, 8]),
    (2, 1100, 18, (-1, -1e-4), [0, 8, 15, 16, 63, 64, 511, 512]),
    (1, 2048, 704, (-1, -1e-4), [700]),
]


def check_isolation(scan, checks):
    """A document of NaN leaves the next one's bits as they are."""
    T, split = 1100, 583
    x, g, dh = (torch.randn(1, T, 48, device='cuda') for _ in range(3))
    g, resets = -g.abs(), starts([split], 1, T)

    def second():
        h, ht = scan.forward(x, g, resets, None)
        dx, dg, _ = scan.backward(h, g, resets, None, dh, None)
        return [y[:, split:].clone() for y in (h, dx, dg)] + [ht]

    before = second()
    for y in (x, g, dh):
        y[:, :split] = float('nan')
    good = all(torch.equal(y, z) and y.isfinite().all() for y, z in zip(before, second()))
    checks.add(good, 'documents do not see each other')


def main():
    torch.manual_seed(0)
    scan, checks = VectorScan(Library(sys.argv[1], poison=True)), Checks()
    calls_only = '--calls-only' in sys.argv
    cases, types = asked_for(sys.argv[2:], SANITIZED if calls_only else CASES, (torch.bfloat16, torch.float32))
    if not calls_only:
        check_isolation(scan, checks)
    for x_type, g_type, bound in (row for row in TYPES if row[0] in types):
        for i, (B, T, C, (low, high), tokens) in cases:
            draw = lambda *shape: torch.randn(shape, device='cuda')
            x, dh, g = draw(B, T, C).to(x_type), draw(B, T, C).to(x_type), log_uniform(low, high, B, T, C).to(g_type)
            h0, dht = (draw(B, C), draw(B, C)) if i % 2 else (None, None)
            resets = starts(tokens, B, T)

            def ours():
                h, ht = scan.forward(x, g, resets, h0)
                dx, dg, dh0 = scan.backward(h, g, resets, h0, dh, dht)
                state, factor = scan.summarize(x, g, resets)
                return dict(h=h, ht=ht, dx=dx, dg=dg, dh0=dh0, E=state, M=factor, G=scan.adjoint(dh, g, resets))

            if calls_only:
                ours()
                continue
            leaves = exact_leaves(x=x, g=g, h0=torch.zeros(B, C, device='cuda') if h0 is None else h0)
            h, ht = vector_scan_reference(leaves['x'], leaves['g'], resets, leaves['h0'])
            exact = dict(h=h.detach(), ht=ht.detach(), **gradients([h, ht], [dh, dht], leaves))
            h, ht = vector_scan_reference(leaves['x'], leaves['g'], resets, h0 * 0 if h0 is not None else None)
            exact['E'] = ht.detach()
            if tokens is None:  # else M is not read
                factor = leaves['g'].detach().sum(1).exp()
                exact['M'] = torch.where(factor < 1e-37, torch.zeros_like(factor), factor)  # f32 has no smaller ones
            h, ht = vector_scan_reference(leaves['x'], leaves['g'], resets, leaves['h0'])
            exact['G'] = gradients([h], [dh], dict(h0=leaves['h0']))['dh0']
            label = f'{x_type} {g_type} B{B} T{T} C{C} {low}..{high} {tokens} carried {h0 is not None}'
            checks(label, bound, ours(), ours(), exact)
    sys.exit(checks.finish())


main()
