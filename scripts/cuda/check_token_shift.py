"""Holds the CUDA kernels of ops/token-shift against f64: usage and exit status as check_vector_scan.py."""

import sys

import torch

from kernel_calls import Checks, Library, exact_leaves, gradients, starts
from scans import TokenShift, token_shift_reference

# B, T, D, tokens where documents start
CASES = [(1, 1, 1, None), (1, 1, 3, [0]), (3, 7, 5, None), (2, 130, 33, [0, 1, 129]), (2, 67, 512, [9, 64]),
         (2, 1030, 2056, [1, 5, 6, 1024])]


def main():
    torch.manual_seed(0)
    shift, checks = TokenShift(Library(sys.argv[1], poison=True)), Checks()
    for dtype in (torch.bfloat16, torch.float32):
        for B, T, D, tokens in CASES:
            for with_halo in (False, True):
                draw = lambda *shape: torch.randn(shape, device='cuda').to(dtype)
                x, dy, halo, resets = draw(B, T, D), draw(B, T, D), draw(B, 1, D) if with_halo else None, starts(tokens, B, T)

                def ours():
                    dx, d_halo = shift.backward(dy, resets, with_halo)
                    return dict(y=shift.forward(x, halo, resets), dx=dx, dhalo=d_halo)

                if '--calls-only' in sys.argv:
                    ours()
                    continue
                leaves = exact_leaves(x=x, halo=halo)
                y = token_shift_reference(leaves['x'], leaves['halo'], resets)
                exact = dict(y=y.detach(), **gradients([y], [dy], leaves))
                checks(f'{dtype} B{B} T{T} D{D} {tokens} halo {with_halo}', 0, ours(), ours(), exact)
    sys.exit(checks.finish())


main()
