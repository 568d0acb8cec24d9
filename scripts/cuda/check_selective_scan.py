"""Holds the CUDA kernels of ops/selective-scan against f64: usage and exit status as check_vector_scan.py."""

import sys

import torch

from kernel_calls import Checks, Library, exact_leaves, gradients, log_uniform, starts
from scans import SelectiveScan, selective_scan_reference

# bf16: outputs are rounded once, sums of them are not.
ROUNDED = dict(y=3e-3, ht=2e-5, dx=3e-3, ddelta=3e-3, dA=2e-5, dinB=3e-3, doutC=3e-3, dh0=2e-5, E=2e-5, sum=1e-6, G=2e-5)
BOUNDS = {torch.bfloat16: ROUNDED, torch.float32: 1e-5}
# B, T, D, N, delta A from .. to, tokens where documents start
CASES = [
    (1, 1, 8, 8, (-1, -0.1), None),
    (2, 63, 24, 16, (-0.5, -1e-3), [0, 1, 7, 8]),
    (1, 257, 16, 16, (-20, -1e-4), None),
    (2, 515, 40, 16, (-1, -1e-4), [0, 15, 16, 255, 256, 257, 511, 512]),
    (1, 1700, 16, 8, (-1e-2, -1e-4), None),
    (1, 1100, 752, 16, (-1, -1e-4), [700]),
    (3, 1025, 272, 16, (-1e-3, -1e-4), [513]),
]


def draw(*shape):
    return torch.randn(shape, device='cuda')


def inputs(dtype, B, T, D, N, low, high):
    delta = -log_uniform(low, high, B, T, D)
    A = -torch.rand(D, N, device='cuda') - 0.1
    return [x.to(dtype) for x in (draw(B, T, D), delta)] + [A] + [draw(B, T, N).to(dtype) for _ in range(2)]


def check_isolation(scan, checks):
    """A document of NaN leaves the next one's bits as they are."""
    T, split = 1100, 583
    tensors, dy, resets = inputs(torch.float32, 1, T, 48, 16, -1, -1e-3), draw(1, T, 48), starts([split], 1, T)

    def second():
        y, ht, kept = scan.forward(tensors, resets, None)
        dx, d_delta, _, d_in, d_out, _ = scan.backward(tensors, resets, kept, dy, None)
        return [z[:, split:].clone() for z in (y, dx, d_delta, d_in, d_out)] + [ht]

    before = second()
    for i, y in enumerate((*tensors, dy)):
        if i != 2:
            y[:, :split] = float('nan')
    good = all(torch.equal(y, z) and y.isfinite().all() for y, z in zip(before, second()))
    checks.add(good, 'documents do not see each other')


def main():
    torch.manual_seed(0)
    scan, checks = SelectiveScan(Library(sys.argv[1], poison=True)), Checks()
    check_isolation(scan, checks)
    for dtype, bound in BOUNDS.items():
        for i, (B, T, D, N, (low, high), tokens) in enumerate(CASES):
            tensors = inputs(dtype, B, T, D, N, low, high)
            dy, resets = draw(B, T, D).to(dtype), starts(tokens, B, T)
            h0, dht = (draw(B, D, N), draw(B, D, N)) if i % 2 else (None, None)

            def ours():
                y, ht, kept = scan.forward(tensors, resets, h0)
                found = scan.backward(tensors, resets, kept, dy, dht)
                state, total = scan.summarize(tensors, resets)
                names = ('dx', 'ddelta', 'dA', 'dinB', 'doutC', 'dh0')
                return dict(y=y, ht=ht, **dict(zip(names, found)), E=state, sum=total, G=scan.adjoint(tensors, resets, dy))

            if '--calls-only' in sys.argv:
                ours()
                continue
            names = ('x', 'delta', 'A', 'inB', 'outC')
            leaves = exact_leaves(**dict(zip(names, tensors)), h0=torch.zeros(B, D, N, device='cuda') if h0 is None else h0)
            exact_inputs = [leaves[name] for name in names]
            y, ht = selective_scan_reference(*exact_inputs, resets, leaves['h0'])
            loss_of_y = gradients([y], [dy], leaves)
            exact = dict(y=y.detach(), ht=ht.detach(), sum=leaves['delta'].detach().sum(1), G=loss_of_y['dh0'])
            y, ht = selective_scan_reference(*exact_inputs, resets, leaves['h0'])
            exact.update(gradients([y, ht], [dy, dht], leaves))
            with torch.no_grad():
                exact['E'] = selective_scan_reference(*exact_inputs, resets, None)[1]
            checks(f'{dtype} B{B} T{T} D{D} N{N} {low}..{high} {tokens} carried {h0 is not None}', bound, ours(), ours(), exact)
    sys.exit(checks.finish())


main()
