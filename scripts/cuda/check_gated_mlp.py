"""Holds the CUDA kernels of ops/swiglu that are part of the products around it against f64, on Hopper: usage and exit status as
check_vector_scan.py."""

import sys

import torch

from kernel_calls import Checks, Library, address, exact_leaves, gradients, structure

Call = structure('Call', i64='T D F', pointer='pair product')

# Tokens, their width, hidden columns: parts of tiles, and more tiles than there are blocks at once.
CASES = [(1, 8, 8), (37, 24, 40), (129, 136, 264), (300, 72, 1032), (65, 520, 128), (2600, 72, 2056)]
# bf16 has 8 bits: gate, up and the product's gradient are rounded, and what is made of them again.
BOUND = 8e-3


class GatedMlp:
    """x and dy [T, D], gate and up [F, D], down [D, F], all bf16."""

    def __init__(self, library):
        self.library = library

    def forward(self, x, gate, up, keeps=True):
        """Gate and up side by side [T, 2 F], or None, and their product [T, F]."""
        (T, D), F = x.shape, gate.shape[0]
        pair = self.library.empty((T, 2 * F), x.dtype) if keeps else None
        product = self.library.empty((T, F), x.dtype)
        self.library.run('longscanLinearSwigluForward', Call(T, D, F, address(pair), address(product)), x, gate, up)
        return pair, product

    def backward(self, dy, down, pair, remakes):
        """The pair's gradient; and the product once more, or None."""
        T, F = pair.shape[0], down.shape[1]
        d_pair, product = self.library.empty(pair.shape, pair.dtype), None
        if remakes:
            product = self.library.empty((T, F), pair.dtype)
        call = Call(T, dy.shape[1], F, address(pair), address(product))
        self.library.run('longscanLinearSwigluBackward', call, dy, down, d_pair)
        return d_pair, product


def check(library, checks, T, D, F):
    mlp = GatedMlp(library)
    x, dy = (torch.randn(T, D, device='cuda').bfloat16() for _ in range(2))
    gate, up, down = (torch.randn(shape, device='cuda').mul(D**-0.5).bfloat16() for shape in ((F, D), (F, D), (D, F)))

    def ours():
        pair, product = mlp.forward(x, gate, up)
        d_pair, remade = mlp.backward(dy, down, pair, True)
        alone = mlp.backward(dy, down, pair, False)[0]
        unkept = mlp.forward(x, gate, up, False)[1]
        same = all(torch.equal(a, b) for a, b in ((remade, product), (alone, d_pair), (unkept, product)))
        return dict(pair=pair, product=product, dpair=d_pair), same

    if '--calls-only' in sys.argv:
        ours()
        return
    leaves = exact_leaves(pair=torch.cat((x.double() @ gate.double().T, x.double() @ up.double().T), 1))
    left, right = leaves['pair'].chunk(2, 1)
    product = torch.nn.functional.silu(left) * right
    exact = dict(pair=leaves['pair'].detach(), product=product.detach(),
                 **gradients([product], [dy.double() @ down.double()], leaves))
    found, same = ours()
    checks(f'[{T}, {D}] to {F}', BOUND, found, ours()[0], exact)
    checks.add(same, f'[{T}, {D}] to {F}: the product remade has its bits, as without the pair, and so have gradients without it')


def main():
    torch.manual_seed(0)
    library, checks = Library(sys.argv[1], poison=True), Checks()
    for case in CASES:
        check(library, checks, *case)
    torch.cuda.synchronize()
    sys.exit(checks.finish())


main()
