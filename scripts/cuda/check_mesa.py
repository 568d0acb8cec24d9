"""Holds the CUDA kernels of ops/mesa against f64: outputs, states and every gradient, at ugly shapes.

usage: python3 check_mesa.py LIBRARY.so [--calls-only]
`--calls-only`: makes a few small calls and compares nothing, for compute-sanitizer. Exit status 1 if an error is over its
bound, not finite, or not the same bits when the call is made again.
"""

import sys

import torch

from kernel_calls import Checks, Library, exact_leaves, gradients, log_uniform, starts
from mesa import Mesa, reference

# All is f32 inside: bf16 outputs are rounded once.
EXACT = 2e-5
ROUNDED = dict(o=3e-3, ht=EXACT, dq=3e-3, dk=3e-3, dv=3e-3, dbeta=EXACT, dg=EXACT, dlambda=EXACT, dh0=EXACT, E=EXACT,
               M=EXACT, G=EXACT)
# B, T, H, K, V, log decays from .. to, tokens where documents start
CASES = [
    (1, 1, 1, 1, 1, (-1, -1e-4), None),
    (2, 63, 3, 5, 19, (-0.5, -1e-4), None),
    (1, 200, 1, 16, 7, (-1e-3, -1e-4), None),
    (1, 70, 1, 33, 8, (-20, -1e-4), None),
    (2, 80, 2, 6, 9, (-1, -1e-4), [0, 1, 2, 31, 64, 77]),
    (1, 230, 2, 64, 64, (-0.1, -1e-4), [70]),
    (1, 200, 2, 128, 128, (-0.1, -1e-4), None),
    (1, 150, 1, 256, 200, (-0.1, -1e-4), [100]),
    (1, 600, 1, 24, 40, (-0.02, -1e-4), [400]),
]
SANITIZED = [(1, 130, 1, 20, 41, (-1, -1e-4), [70, 71]), (1, 66, 1, 72, 8, (-1, -1e-4), None)]


def draw_case(case, dtype):
    B, T, H, K, V, decays, tokens = case
    rows = lambda: torch.nn.functional.normalize(torch.randn(B, T, H, K, device='cuda'), dim=-1).to(dtype)
    v = torch.randn(B, T, H, V, device='cuda').to(dtype)
    beta = torch.rand(B, T, H, device='cuda')
    lambda_ = torch.empty(H, K, device='cuda').uniform_(0.25, 2)
    return [rows(), rows(), v, beta, log_uniform(*decays, B, T, H), lambda_], starts(tokens, B, T)


def draw_state(B, H, K, V):
    """As a run of tokens leaves it: Hkk is a sum of k k^T."""
    factors = torch.randn(B, H, K, K, device='cuda') * K**-0.5
    return torch.cat((factors @ factors.mT, torch.randn(B, H, V, K, device='cuda')), 2).contiguous()


def check(mesa, checks, case, dtype, carried, calls_only):
    B, T, H, K, V = case[:5]
    inputs, resets = draw_case(case, dtype)
    dO = torch.randn(B, T, H, V, device='cuda').to(dtype)
    h0 = draw_state(B, H, K, V) if carried else None
    dht = torch.randn(B, H, K + V, K, device='cuda') if carried else None

    def ours():
        o, x, ht = mesa.forward(inputs, resets, h0)
        dq, u, dlambda, G = mesa.query_gradient(inputs, x, dO, resets, h0, True)
        dk, dv, dbeta, dg, dh0 = mesa.key_value_gradient(inputs, x, u, dO, resets, h0, dht)
        E, M = mesa.summarize(inputs, resets)
        return dict(o=o, ht=ht, dq=dq, dk=dk, dv=dv, dbeta=dbeta, dg=dg, dlambda=dlambda.sum(0), dh0=dh0, E=E, M=M, G=G)

    if calls_only:
        return ours()
    leaves = exact_leaves(**dict(zip(('q', 'k', 'v', 'beta', 'g', 'lambda'), inputs)),
                          h0=torch.zeros(B, H, K + V, K, device='cuda') if h0 is None else h0)
    *tokens, start = leaves.values()
    o, ht = reference(*tokens, resets, start)
    G, = torch.autograd.grad((o * dO.double()).sum(), start, retain_graph=True)
    exact = dict(o=o.detach(), ht=ht.detach(), **gradients([o, ht], [dO, dht], leaves))
    exact['G'] = G
    with torch.no_grad():
        exact['E'] = reference(*tokens, resets)[1] if carried else exact['ht']
    exact['M'] = leaves['g'].detach().sum(1).exp()
    exact['M'][exact['M'] < 1e-37] = 0
    if resets is not None:
        exact['M'] = torch.where(resets.any(1)[:, None], torch.zeros_like(exact['M']), exact['M'])
    checks(f'{dtype} {case} carried {carried}', EXACT if dtype == torch.float32 else ROUNDED, ours(), ours(), exact)


def check_isolation(mesa, checks, dtype):
    """A document of NaN leaves the next one's bits as they are."""
    split = 83
    inputs, resets = draw_case((1, 200, 2, 32, 48, (-1, -1e-3), [split]), dtype)
    dO = torch.randn(1, 200, 2, 48, device='cuda').to(dtype)

    def second():
        o, x, ht = mesa.forward(inputs, resets)
        dq, u, *_ = mesa.query_gradient(inputs, x, dO, resets)
        gradients = mesa.key_value_gradient(inputs, x, u, dO, resets)[:4]
        return [y[:, split:].clone() for y in (o, dq, *gradients)] + [ht, mesa.summarize(inputs, resets)[0]]

    before = second()
    for y in (*inputs[:5], dO):
        y[:, :split] = float('nan')
    good = all(torch.equal(x, y) and x.isfinite().all() for x, y in zip(before, second()))
    checks.add(good, f'{dtype} documents do not see each other')


def main():
    torch.manual_seed(0)
    mesa, checks = Mesa(Library(sys.argv[1], poison=True)), Checks()
    calls_only = '--calls-only' in sys.argv
    for dtype in (torch.float32, torch.bfloat16):
        for i, case in enumerate(SANITIZED if calls_only else CASES):
            check(mesa, checks, case, dtype, i % 2 == 1, calls_only)
        if not calls_only:
            check_isolation(mesa, checks, dtype)
    sys.exit(checks.finish())


main()
