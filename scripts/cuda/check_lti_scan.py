"""Holds the CUDA kernels of ops/lti-scan against f64: outputs, states and every gradient, at ugly shapes.

usage: python3 check_lti_scan.py LIBRARY.so [--calls-only]
`--calls-only`: makes a few small calls and compares nothing, for compute-sanitizer. Exit status 1 if an error is over its
bound, not finite, or not the same bits when the call is made again.
"""

import sys

import torch

from kernel_calls import Checks, Library, exact_leaves, gradients, log_uniform, starts
from lti_scan import LtiScan, reference

# Outputs in bf16 are rounded once; what is f32 stays f32.
EXACT = 1e-5
ROUNDED = dict(y=3e-3, ht=EXACT, du=3e-3, dlog_lambda=EXACT, dw=EXACT, dh0=EXACT, E=EXACT, M=EXACT, G=EXACT)
# B, T, C, N, log decays from .. to, angles in [-3, 3] times, tokens where documents start
CASES = [
    (1, 1, 1, 1, (-1, -1e-4), 1, None),
    (2, 63, 19, 5, (-0.5, -0.01), 1, None),
    (1, 601, 17, 3, (-1e-3, -1e-4), 0.1, None),
    (1, 129, 50, 2, (-20, -1e-4), 1, None),
    (3, 200, 33, 1, (-0.5, -0.001), 1, [0, 1, 2, 31, 64, 127, 128, 199]),
    (1, 600, 256, 32, (-0.5, -0.001), 1, [300, 301]),
    (2, 330, 5, 200, (-0.5, -0.001), 1, [311]),
    (1, 300, 9, 64, (-0.05, -0.001), 1, None),
]
SANITIZED = [(2, 300, 19, 5, (-0.5, -0.01), 1, [77]), (1, 290, 5, 33, (-0.5, -0.01), 1, None)]


def draw_case(case, is_complex, dtype):
    B, T, C, N, decays, turn, tokens = case
    u, dy = (torch.randn(B, T, 2 * C if is_complex else C, device='cuda').to(dtype) for _ in range(2))
    angles = torch.empty(C, N, device='cuda').uniform_(-3 * turn, 3 * turn)
    log_lambda = torch.stack((log_uniform(*decays, C, N), angles), -1).contiguous()
    return (u, log_lambda, torch.randn(C, N, 2, device='cuda')), dy, starts(tokens, B, T)


def check(scan, checks, case, is_complex, dtype, carried, calls_only):
    B, T, C, N = case[:4]
    inputs, dy, resets = draw_case(case, is_complex, dtype)
    h0, dht = (torch.randn(B, C, N, 2, device='cuda') for _ in range(2)) if carried else (None, None)

    def ours():
        y, ht, states = scan.forward(*inputs, resets, h0)
        du, dlog_lambda, dw, dh0 = scan.backward(*inputs, states, dy, resets, dht)
        E, M = scan.summarize(*inputs, resets)
        G = scan.adjoint(*inputs, dy, resets)
        return dict(y=y, ht=ht, du=du, dlog_lambda=dlog_lambda, dw=dw, dh0=dh0, E=E, M=M, G=G)

    if calls_only:
        return ours()
    zero = torch.zeros(B, C, N, 2, device='cuda')
    leaves = exact_leaves(u=inputs[0], log_lambda=inputs[1], w=inputs[2], h0=zero if h0 is None else h0)
    *tokens, start = leaves.values()
    y, ht = reference(*tokens, resets, start)
    G, = torch.autograd.grad((y * dy.double()).sum(), start, retain_graph=True)
    exact = dict(y=y.detach(), ht=ht.detach(), **gradients([y, ht], [dy, dht], leaves))
    exact['G'] = G
    with torch.no_grad():
        exact['E'] = reference(*tokens, resets)[1] if carried else exact['ht']
    power = torch.view_as_real((T * torch.view_as_complex(leaves['log_lambda'])).exp()).detach()
    exact['M'] = power.expand(B, C, N, 2)
    kind = 'complex' if is_complex else 'real'
    checks(f'{dtype} {kind} {case} carried {carried}', EXACT if dtype == torch.float32 else ROUNDED, ours(), ours(), exact)


def check_isolation(scan, checks, dtype):
    """A document of NaN leaves the next one's bits as they are."""
    split = 383
    inputs, dy, resets = draw_case((1, 800, 33, 4, (-0.5, -0.01), 1, [split]), False, dtype)

    def second():
        y, ht, states = scan.forward(*inputs, resets)
        du = scan.backward(*inputs, states, dy, resets)[0]
        return [y[:, split:].clone(), du[:, split:].clone(), ht, scan.summarize(*inputs, resets)[0]]

    before = second()
    for x in (inputs[0], dy):
        x[:, :split] = float('nan')
    good = all(torch.equal(x, y) and x.isfinite().all() for x, y in zip(before, second()))
    checks.add(good, f'{dtype} documents do not see each other')


def main():
    torch.manual_seed(0)
    scan, checks = LtiScan(Library(sys.argv[1], poison=True)), Checks()
    calls_only = '--calls-only' in sys.argv
    for dtype in (torch.float32, torch.bfloat16):
        for is_complex in (False, True):
            for i, case in enumerate(SANITIZED if calls_only else CASES):
                check(scan, checks, case, is_complex, dtype, i % 2 == 1, calls_only)
        if not calls_only:
            check_isolation(scan, checks, dtype)
    sys.exit(checks.finish())


main()
