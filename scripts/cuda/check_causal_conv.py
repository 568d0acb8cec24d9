"""Holds the CUDA kernels of ops/causal-conv against f64: usage and exit status as check_vector_scan.py."""

import sys

import torch

from kernel_calls import Checks, Library, exact_leaves, gradients, starts
from scans import CausalConv, causal_conv_reference

# Of data, and of weights and biases.
# A single number of bf16 is off by 2^-8 at most.
BF16 = dict(y=2 ** -8, dx=2 ** -8, dhalo=2 ** -8)
TYPES = [(torch.bfloat16, torch.float32, BF16 | dict(dweight=1e-5, dbias=1e-5)),
         (torch.bfloat16, torch.bfloat16, BF16 | dict(dweight=4e-3, dbias=4e-3)),
         (torch.float32, torch.float32, 3e-6)]
EPS = 1e-3
# B, T, D, W, tokens where documents start
CASES = [
    (1, 1, 1, 1, None), (1, 1, 8, 4, [0]), (2, 7, 3, 2, [3]), (1, 130, 33, 4, None),
    (3, 70, 40, 4, [0, 1, 2, 31, 32, 69]), (2, 3, 8, 6, [1]), (2, 3, 5, 6, None), (1, 300, 64, 8, [32, 35, 256]),
    (2, 1000, 520, 3, [31, 64, 900]), (2, 150, 384, 4, [149]), (1, 4099, 2048, 4, [1000, 1001, 1003]), (1, 33, 2048, 4, None),
]


def inputs(dtype, weight_type, B, T, D, W, plain):
    draw = lambda *shape: torch.randn(shape, device='cuda')
    halo = None if plain or W == 1 else draw(B, W - 1, D).to(dtype)
    bias = None if plain else draw(D).to(weight_type)
    return draw(B, T, D).to(dtype), halo, draw(D, W).to(weight_type), bias, draw(B, T, D).to(dtype)


def check_isolation(conv, checks, head_size):
    """A document of NaN leaves the next one's bits as they are."""
    x, halo, weight, bias, dy = inputs(torch.bfloat16, torch.float32, 1, 200, 64, 4, False)
    resets = starts([83], 1, 200)

    def second():
        y, rstd = conv.forward(x, halo, weight, bias, resets, True, head_size, EPS)
        found = [y, conv.backward(x, halo, weight, bias, resets, True, dy, head_size, rstd)[0]]
        return [y[:, 83:].clone() for y in found]

    before = second()
    for y in (x, dy):
        y[:, :83] = float('nan')
    halo[:] = float('nan')
    good = all(torch.equal(y, z) and y.isfinite().all() for y, z in zip(before, second()))
    checks.add(good, f'documents do not see each other, heads of {head_size or "no length"}')


def head_sizes(D, W):
    """0: no heads are scaled; and of those that may be, the smallest and the largest."""
    fitting = [size for size in range(4, min(D, 256) + 1, 4) if D % size == 0] if W <= 8 else []
    return sorted({0, *fitting[:1], *fitting[-1:]})


def main():
    torch.manual_seed(0)
    conv, checks = CausalConv(Library(sys.argv[1], poison=True)), Checks()
    for head_size in (0, 32):
        check_isolation(conv, checks, head_size)
    cases = [(types, case, plain, size) for types in TYPES for case in enumerate(CASES) for plain in (False, True)
             for size in head_sizes(case[1][2], case[1][3])]
    for (dtype, weight_type, bound), (i, (B, T, D, W, tokens)), plain, size in cases:
        x, halo, weight, bias, dy = inputs(dtype, weight_type, B, T, D, W, plain)
        resets, silu = starts(tokens, B, T), not plain or i % 2 == 0

        def ours():
            y, rstd = conv.forward(x, halo, weight, bias, resets, silu, size, EPS)
            dx, d_halo, d_weight, d_bias = conv.backward(x, halo, weight, bias, resets, silu, dy, size, rstd)
            return dict(y=y, dx=dx, dhalo=d_halo, dweight=d_weight, dbias=d_bias)

        if '--calls-only' in sys.argv:
            ours()
            continue
        leaves = exact_leaves(x=x, halo=halo, weight=weight, bias=bias)
        y = causal_conv_reference(*leaves.values(), resets, silu, size, EPS)
        exact = dict(y=y.detach(), **gradients([y], [dy], leaves))
        label = f'{dtype} {weight_type} B{B} T{T} D{D} W{W} {tokens} plain {plain} heads {size}'
        checks(label, bound, ours(), ours(), exact)
    sys.exit(checks.finish())


main()
