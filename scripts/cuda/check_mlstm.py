"""Holds the CUDA kernels of ops/mlstm against f64: outputs, states and every gradient, at ugly shapes.

usage: python3 check_mlstm.py LIBRARY.so [--calls-only]
`--calls-only`: makes a few small calls and compares nothing, for compute-sanitizer. Exit status 1 if an error is over its
bound, not finite, or not the same bits when the call is made again.
"""

import sys

import torch

from kernel_calls import Checks, Library, exact_leaves, gradients, log_uniform, starts
from mlstm import Mlstm, reference

# bf16 data are rounded a few times; df is a sum of products of them. States and their adjoints are f32, of bf16 data.
ROUNDED = dict(h=4e-3, ht=4e-3, dq=1e-2, dk=6e-3, dv=6e-3, di=8e-3, df=1e-2, dh0=6e-3, E=4e-3, M=1e-5, G=6e-3, A=2e-4)
EXACT = dict.fromkeys(ROUNDED, 2e-5) | dict(M=1e-5, A=2e-5)

# B, T, H, K, V, input gates from .. to, log forget gates from .. to, m of incoming states from .. to (None: empty),
# tokens where documents start
CASES = [
    (1, 1, 1, 1, 1, (-1, 1), (-1, -1e-4), None, None),
    (2, 63, 3, 5, 19, (-2, 1), (-0.5, -1e-4), (-1, 1), None),
    (1, 400, 2, 16, 15, (-3, 3), (-1e-3, -1e-4), (2, 4), None),
    (1, 129, 1, 33, 8, (-30, 30), (-20, -1e-4), (-30, 30), None),
    (1, 70, 1, 8, 16, (-30, -25), (-1e-3, -1e-4), (-40, -30), None),
    (2, 150, 2, 64, 128, (-1, 1), (-1, -1e-4), (0, 1), [0, 1, 2, 31, 64, 100, 147]),
    (1, 600, 2, 128, 128, (-2, 2), (-0.1, -1e-4), None, [350]),
    (1, 400, 2, 128, 64, (-10, 10), (-20, -1e-4), None, None),
    (1, 330, 1, 256, 256, (-2, 2), (-0.2, -1e-4), (0, 1), [130, 192]),
    (1, 260, 40, 64, 64, (-2, 2), (-0.5, -1e-4), (0, 1), [77]),
    (1, 1100, 1, 72, 40, (-3, 3), (-0.02, -1e-4), (0, 1), [5, 700]),
]
SANITIZED = [(1, 130, 1, 40, 72, (-1, 1), (-1, -1e-4), (0, 1), [70, 71]), (2, 300, 1, 33, 8, (-1, 1), (-1, -1e-4), None, None)]


def draw_case(case, dtype):
    B, T, H, K, V, (low, high), forget, maxima, tokens = case
    normal = lambda *shape: torch.randn(shape, device='cuda')
    # Queries and keys point the same way, so that n . q is not the small difference of large terms.
    q, k, v = normal(B, T, H, K).abs().to(dtype), normal(B, T, H, K).abs().to(dtype), normal(B, T, H, V).to(dtype)
    i = torch.empty(B, T, H, device='cuda').uniform_(low, high)
    f = log_uniform(*forget, B, T, H)
    h0 = None
    if maxima is not None:
        h0 = normal(B, H, V + 1, K + 1).abs()
        h0[..., K] = torch.empty(B, H, 1, device='cuda').uniform_(*maxima)
    return (q, k, v, i, f), starts(tokens, B, T), h0


def check(mlstm, checks, case, dtype, calls_only):
    B, T, H, K, V = case[:5]
    inputs, resets, h0 = draw_case(case, dtype)
    dh = torch.randn(B, T, H, V, device='cuda').to(dtype)
    dht = None if h0 is None else torch.randn(B, H, V + 1, K + 1, device='cuda')
    if dht is not None:
        dht[..., K] = 0

    def ours():
        h, ht, kept = mlstm.forward(*inputs, resets, h0)
        dq, dk, dv, di, df, dh0 = mlstm.backward(*inputs, kept, dh, resets, h0, dht)
        E, M = mlstm.summarize(*inputs, resets)
        G, A = mlstm.adjoint(*inputs, kept, dh, resets, h0)
        return dict(h=h, ht=ht, dq=dq, dk=dk, dv=dv, di=di, df=df, dh0=dh0, E=E, M=M, G=G, A=A)

    if calls_only:
        return ours()
    zero = torch.zeros(B, H, V + 1, K + 1, device='cuda')
    zero[..., K] = -float('inf')
    leaves = exact_leaves(**dict(zip('qkvif', inputs)), h0=zero if h0 is None else h0)
    *tokens, start = leaves.values()
    h, ht = reference(*tokens, resets, start)
    G, = torch.autograd.grad((h * dh.double()).sum(), start, retain_graph=True)
    exact = dict(h=h.detach(), ht=ht.detach(), **gradients([h, ht[..., :K]], [dh, None if dht is None else dht[..., :K]], leaves))
    exact['G'] = G
    with torch.no_grad():
        exact['E'] = reference(*tokens, resets)[1] if h0 is not None else exact['ht']
    exact['M'] = leaves['f'].detach().sum(1)
    m_in, m_out = leaves['h0'].detach()[:, :, 0, K], ht.detach()[:, :, 0, K]
    exact['A'] = (exact['M'] + m_in - m_out).exp()
    exact['A'][exact['A'] < 1e-37] = 0  # f32 has no smaller ones
    if resets is not None:
        exact['A'] = torch.where(resets.any(1)[:, None], torch.zeros_like(exact['A']), exact['A'])
    bound = EXACT if dtype == torch.float32 else ROUNDED
    checks(f'{dtype} {case}', bound, ours(), ours(), exact)


def check_isolation(mlstm, checks, dtype):
    """A document of NaN leaves the next one's bits as they are."""
    split = 83
    inputs, resets, _ = draw_case((1, 200, 2, 64, 64, (-1, 1), (-1, -1e-3), None, [split]), dtype)
    dh = torch.randn(1, 200, 2, 64, device='cuda').to(dtype)

    def second():
        h, ht, kept = mlstm.forward(*inputs, resets)
        G, A = mlstm.adjoint(*inputs, kept, dh, resets)
        return [x[:, split:].clone() for x in (h, *mlstm.backward(*inputs, kept, dh, resets)[:5])] + [
            ht, mlstm.summarize(*inputs, resets)[0]]

    before = second()
    for x in (*inputs, dh):
        x[:, :split] = float('nan')
    good = all(torch.equal(x, y) and x.isfinite().all() for x, y in zip(before, second()))
    checks.add(good, f'{dtype} documents do not see each other')


def main():
    torch.manual_seed(0)
    mlstm, checks = Mlstm(Library(sys.argv[1], poison=True)), Checks()
    calls_only = '--calls-only' in sys.argv
    for dtype in (torch.float32, torch.bfloat16):
        for case in SANITIZED if calls_only else CASES:
            check(mlstm, checks, case, dtype, calls_only)
        if not calls_only:
            check_isolation(mlstm, checks, dtype)
    sys.exit(checks.finish())


main()
