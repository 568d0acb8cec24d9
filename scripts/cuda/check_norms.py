"""Holds the CUDA kernels of ops/rms-norm, ops/gated-norm and ops/swiglu against f64: usage and exit status as check_vector_scan.py."""

import sys

import torch

from kernel_calls import Checks, Library, exact_leaves, gradients
from norms import GatedNorm, Norm, Swiglu, gated_norm_reference, norm_reference

# Rows and columns: every layout of cuda/held_rows.cuh.
CASES = [(1, 1), (63, 7), (1000, 33), (3, 1000), (5, 1030), (9, 4095), (20000, 24), (50000, 128), (70, 512), (33, 1536), (8192, 2048),
         (17, 2056), (7, 4096), (5, 8192), (3, 16384)]
EPS = 0.5


def draw(dtype, *shape):
    return torch.randn(shape, device='cuda').to(dtype)


def check_norm(library, checks, dtype, bound, rows, cols):
    """With and without a branch, and the l2 norm."""
    norm, weight = Norm(library), draw(torch.float32, cols)
    x, branch, dy, d_stream = (draw(dtype, rows, cols) for _ in range(4))
    for label, w, b, ds in (('rms-norm', weight, None, None), ('residual', weight, branch, d_stream), ('l2-norm', None, None, None)):
        def ours():
            y, stream, rstd = norm.forward(x, b, w, EPS)
            dx, dw = norm.backward(dy, x if b is None else stream, w, rstd, ds)
            return {k: v for k, v in dict(y=y, stream=stream, dx=dx, dweight=dw).items() if v is not None}

        if '--calls-only' in sys.argv:
            ours()
            continue
        summed = x if b is None else x + b
        leaves = exact_leaves(x=summed, weight=w)
        y = norm_reference(leaves['x'], leaves['weight'], EPS)
        exact = dict(y=y.detach(), **gradients([y, leaves['x']], [dy, ds], leaves))
        if b is not None:
            exact['stream'] = summed.double()
        checks(f'{label} {dtype} [{rows}, {cols}]', bound, ours(), ours(), exact)


def check_gated(library, checks, dtype, bound, rows, cols):
    weight = draw(torch.float32, cols)
    x, dy, gate = draw(dtype, rows, cols), draw(dtype, rows, cols), draw(dtype, rows, cols) * 4
    for silu in (True, False):
        norm = GatedNorm(library, silu)

        def ours():
            y, rstd = norm.forward(x, gate, weight, EPS)
            dx, d_gate, dw = norm.backward(dy, x, gate, weight, rstd)
            return dict(y=y, dx=dx, dgate=d_gate, dweight=dw)

        if '--calls-only' in sys.argv:
            ours()
            continue
        leaves = exact_leaves(x=x, gate=gate, weight=weight)
        y = gated_norm_reference(leaves['x'], leaves['gate'], leaves['weight'], EPS, silu)
        checks(f'gated silu {silu} {dtype} [{rows}, {cols}]', bound, ours(), ours(),
               dict(y=y.detach(), **gradients([y], [dy], leaves)))


def check_swiglu(library, checks, dtype, bound, count):
    op, up, dy, gate = Swiglu(library), draw(dtype, count), draw(dtype, count), draw(dtype, count) * 4

    def ours():
        d_gate, d_up = op.backward(dy, gate, up)
        return dict(y=op.forward(gate, up), dgate=d_gate, dup=d_up)

    if '--calls-only' in sys.argv:
        ours()
        return
    leaves = exact_leaves(gate=gate, up=up)
    y = torch.nn.functional.silu(leaves['gate']) * leaves['up']
    checks(f'swiglu {dtype} {count}', bound, ours(), ours(), dict(y=y.detach(), **gradients([y], [dy], leaves)))


def main():
    torch.manual_seed(0)
    library, checks = Library(sys.argv[1], poison=True), Checks()
    for dtype, bound in ((torch.bfloat16, 4e-3), (torch.float32, 2e-6)):
        for rows, cols in CASES:
            check_norm(library, checks, dtype, bound, rows, cols)
            check_gated(library, checks, dtype, bound, rows, cols)
        for count in (1, 63, 50001, 4_000_004):
            check_swiglu(library, checks, dtype, bound, count)
    sys.exit(checks.finish())


main()
