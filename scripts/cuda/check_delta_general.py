"""Holds the token-by-token CUDA kernels of ops/delta-rule against f64: outputs, states, every gradient, summaries of slices.

usage: python3 check_delta_general.py LIBRARY.so [--calls-only] [KINDS]
`--calls-only`: makes the calls at small shapes and compares nothing, for compute-sanitizer. KINDS: every one without it,
else as a slice of the list below, `0:4`.
Errors are |x - f64| / |f64| over a whole tensor. Exit status 1 if one is over the bound, not finite, or not the same
bits when the call is made again.
"""

import sys

import torch
import torch.nn.functional as F

from delta_general import DeltaGeneral, Kind, reference
from kernel_calls import Checks, log_uniform, starts

KINDS = [
    Kind(),
    Kind('scalar'),
    Kind('diagonal'),
    Kind('scalar', 'own'),
    Kind('diagonal', 'dplr'),
    Kind('none', 'dplr'),
    Kind('none', 'own'),
    Kind('diagonal', read='value'),
    Kind('scalar', read='value'),
    Kind('diagonal', 'dplr', 'value'),
]

# B, T, H, K, V, log decays from .. to, tokens where documents start
CASES = [
    (3, 1, 1, 1, 1, (-1, -1e-4), None),
    (2, 63, 3, 5, 19, (-0.5, -1e-4), None),
    (1, 129, 1, 128, 128, (-20, -1e-4), None),
    (2, 140, 2, 64, 96, (-1, -1e-4), [0, 1, 2, 31, 64, 100, 127]),
    (1, 70, 1, 200, 300, (-0.1, -1e-4), [40]),
    (1, 150, 2, 33, 8, (-1e-3, -1e-4), None),
    # So many heads that a thread has two channels.
    (2, 37, 24, 100, 90, (-0.5, -1e-4), [5, 20]),
    (1, 41, 128, 64, 64, (-0.5, -1e-4), None),
]
# Every size of a sweep, for compute-sanitizer.
SMALL_CASES = [
    (2, 21, 1, 5, 19, (-0.5, -1e-4), [3, 20]),
    (1, 19, 1, 100, 130, (-0.5, -1e-4), None),
    (1, 9, 1, 200, 300, (-0.5, -1e-4), None),
]
# f32: a few hundred sums of f32. bf16: the rounding of what is stored, decay gradients are differences of sums.
BOUNDS = {torch.float32: 5e-6, torch.bfloat16: 4e-3}


def draw(kind, dtype, B, T, H, K, V, low, high):
    def normal(*shape):
        return torch.randn(shape, device='cuda').to(dtype)

    def unit(length):
        return (length * F.normalize(torch.randn(B, T, H, K, device='cuda'), dim=-1)).to(dtype)

    by_key = kind.read == 'key'
    gates = dict(none=None, scalar=(B, T, H), diagonal=(B, T, H, K))[kind.gate]
    inputs = dict(
        q=normal(B, T, H, K if by_key else V),
        k=unit(1),
        v=normal(B, T, H, V),
        beta=None if kind.erase == 'dplr' else 1.9 * torch.rand(B, T, H, device='cuda'),
        g=None if gates is None else log_uniform(low, high, *gates),
        b=None if kind.erase == 'key' else unit(0.9),
        e=unit(0.9) if kind.erase == 'dplr' else None,
    )
    return inputs, normal(B, T, H, V if by_key else K)


def leaves_of(inputs, h0=None):
    return {name: None if x is None else x.double().requires_grad_() for name, x in dict(inputs, h0=h0).items()}


def exact_results(kind, inputs, dO, resets, h0, dht, scale):
    leaves = leaves_of(inputs, h0)
    o, ht = reference(kind, **leaves, resets=resets, scale=scale)
    named = {name: x for name, x in leaves.items() if x is not None}
    loss = (o * dO.double()).sum() + (ht * dht.double()).sum()
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    gradients = {'d' + name: torch.zeros_like(x) if y is None else y for (name, x), y in zip(named.items(), found)}
    return dict(o=o.detach(), ht=ht.detach(), **gradients)


def exact_summary(kind, inputs, dO, resets, scale):
    B, T, H, K = inputs['k'].shape
    V = inputs['v'].shape[-1]
    h0 = torch.zeros(B, H, V, K, device='cuda', dtype=torch.double)
    leaves = leaves_of(inputs, h0)
    o, E = reference(kind, **leaves, resets=resets, scale=scale)
    adjoint = torch.autograd.grad((o * dO.double()).sum(), leaves['h0'])[0]
    exact = dict(E=E.detach(), G=adjoint)
    # Of many strong decays nothing is left to compare.
    if resets is None and (inputs['g'] is None or inputs['g'].sum(1).max() > -40):
        exact['M'] = exact_factor(kind, inputs)
    return exact


def exact_factor(kind, inputs):
    B, T, H, K = inputs['k'].shape
    nothing = torch.zeros(B, T, H, K, device='cuda', dtype=torch.double)
    identity = torch.eye(K, device='cuda', dtype=torch.double).expand(B, H, K, K)
    wide = {name: None if x is None else x.double() for name, x in inputs.items()}
    return reference(kind, **dict(wide, v=nothing), h0=identity, want_output=False)[1]


def check(checks, kernels, kind, dtype, case, calls_only):
    B, T, H, K, V, (low, high), tokens = case
    inputs, dO = draw(kind, dtype, B, T, H, K, V, low, high)
    resets, scale = starts(tokens, B, T), 0.7
    h0, dht = torch.randn(B, H, V, K, device='cuda'), torch.randn(B, H, V, K, device='cuda')

    def ours():
        o, ht, kept = kernels.forward(kind, inputs, resets, h0, scale)
        return dict(o=o, ht=ht, **kernels.backward(kind, inputs, kept, dO, resets, h0, dht, scale))

    def summary():
        E, M, reset = kernels.summarize(kind, inputs, resets)
        return dict(E=E, M=M, reset=reset, G=kernels.summarize_backward(kind, inputs, dO, resets, scale))

    if calls_only:
        ours(), summary()
        return
    label = f'{kind}, {str(dtype)[6:]}, B{B} T{T} H{H} K{K} V{V} {low}..{high}{" documents" if tokens else ""}'
    bound = {name: BOUNDS[dtype] for name in ('o', 'dq', 'dk', 'dv', 'db', 'de')}
    bound.update({name: BOUNDS[torch.float32] for name in ('ht', 'dh0', 'dbeta', 'E', 'M', 'G')}, dg=2e-5)
    checks(label, bound, ours(), ours(), exact_results(kind, inputs, dO, resets, h0, dht, scale))
    found = summary()
    checks(f'{label}: summary', bound, found, summary(), exact_summary(kind, inputs, dO, resets, scale))
    if resets is not None:
        checks.add(torch.equal(found['reset'], (resets != 0).any(1).float()), f'{label}: reset bits')


def check_isolation(checks, kernels, kind):
    """A document of NaN leaves the next one's bits, and those of the one before, as they are."""
    B, T, H, K, V, begin, end = 1, 200, 2, 64, 72, 37, 83
    inputs, dO = draw(kind, torch.float32, B, T, H, K, V, -1, -1e-3)
    resets = starts([begin, end], B, T)

    def others():
        o, ht, kept = kernels.forward(kind, inputs, resets)
        found = [o, *(x for name, x in kernels.backward(kind, inputs, kept, dO, resets).items() if name != 'dh0')]
        return [torch.cat((x[:, :begin], x[:, end:]), 1) for x in found] + [ht]

    before = others()
    for x in (*inputs.values(), dO):
        if x is not None:
            x[:, begin:end] = float('nan')
    good = all(torch.equal(x, y) and x.isfinite().all() for x, y in zip(before, others()))
    checks.add(good, f'{kind}: documents do not see each other')


def check_long(checks, kernels, kind, dtype):
    """M and E of many tokens."""
    inputs, dO = draw(kind, dtype, 1, 4096, 2, 128, 64, -3e-3, -1e-4)
    if inputs['beta'] is not None:
        inputs['beta'] /= 2
    with torch.no_grad():
        wide = {name: None if x is None else x.double() for name, x in inputs.items()}
        exact = dict(E=reference(kind, **wide, want_output=False)[1], M=exact_factor(kind, inputs))
    found, again = (dict(zip('EM', kernels.summarize(kind, inputs))) for _ in range(2))
    checks(f'{kind}, {str(dtype)[6:]}, T4096: summary', 1e-5, found, again, exact)


def main():
    torch.manual_seed(0)
    kernels, checks = DeltaGeneral(sys.argv[1], poison=True), Checks()
    calls_only = '--calls-only' in sys.argv
    begin, end = (int(x) for x in sys.argv[-1].split(':')) if ':' in sys.argv[-1] else (0, len(KINDS))
    for kind in KINDS[begin:end]:
        for i, case in enumerate(SMALL_CASES if calls_only else CASES):
            check(checks, kernels, kind, torch.float32, case, calls_only)
            # bf16 differs in how tensors are read and written.
            if calls_only or i in (1, 4, 6):
                check(checks, kernels, kind, torch.bfloat16, case, calls_only)
        if not calls_only:
            check_isolation(checks, kernels, kind)
    if not calls_only and begin == 0:
        check_long(checks, kernels, Kind('scalar'), torch.bfloat16)
        check_long(checks, kernels, Kind('diagonal', 'dplr'), torch.float32)
    torch.cuda.synchronize()
    sys.exit(checks.finish())


main()
