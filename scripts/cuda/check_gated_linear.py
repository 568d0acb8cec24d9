"""Holds the CUDA kernels of ops/gated-linear against f64: outputs, states and every gradient, at ugly shapes.

usage: python3 check_gated_linear.py LIBRARY.so [--calls-only] [PART…]
`--calls-only`: makes a few small calls and compares nothing, for compute-sanitizer. PART: a kind of decay, or `bonus`; a type;
default: all, one after the other.
Errors are |x - f64| / |f64| over a whole tensor. Exit status 1 if one is over the bound, not finite, or not the same
bits when the call is made again.
"""

import sys

import torch

from gated_linear import GatedLinear, reference
from kernel_calls import by_name, compare, say, starts

# bf16 has 8 bits: a chain of a few roundings stays under 1 %. Decay gradients are differences of such sums.
BOUNDS = dict(o=8e-3, ht=8e-3, dq=8e-3, dk=8e-3, dv=8e-3, dg=2e-2, dh0=8e-3, dbonus=8e-3)

F32_BOUNDS = dict.fromkeys(BOUNDS, 2e-5) | dict(dg=1e-4, dbonus=2e-5)

# B, T, H (or heads, groups), K, V, log decays from .. to, tokens where documents start
CASES = [
    (1, 1, 1, 64, 64, (-1, 0), None),
    (2, 63, 3, 32, 64, (-0.5, 0), None),
    (1, 600, 2, 64, 32, (-1e-3, -1e-4), None),
    (1, 129, 1, 128, 128, (-20, -1e-4), None),
    (2, 150, 2, 64, 128, (-1, 0), [0, 1, 2, 31, 64, 100, 147]),
    (1, 900, 2, 128, 128, (-0.1, 0), [350]),
    (1, 777, 2, 128, 64, (-0.3, -1e-4), None),
    (1, 300, 1, 256, 128, (-0.2, 0), [130, 192]),
    (1, 330, 2, 128, 256, (-5, 0), None),
    (1, 520, 1, 256, 256, (-0.05, 0), None),
    (2, 1100, 1, 40, 72, (-0.05, 0), [5, 700]),
    (1, 400, 150, 64, 64, (-0.5, 0), [77]),
    (2, 210, (4, 2), 64, 72, (-0.3, -1e-4), [100]),
    (1, 350, (3, 1), 128, 128, (-20, -1e-4), None),
    (1, 300, 1, 256, 512, (-0.5, -1e-4), [64, 77]),
]
SANITIZED = [
    (1, 129, (2, 1), 64, 72, (-1, 0), [70]),
    (1, 300, 1, 128, 128, (-1, 0), None),
    (1, 150, 1, 192, 128, (-1, 0), None),
]


def gates(decay, low, high, B, T, H, K, V):
    shape = dict(identity=None, fixed=(H,), scalar=(B, T, H), diagonal=(B, T, H, K), values=(B, T, H, V))[decay]
    if shape is None:
        return None
    # Spread evenly over the orders of magnitude of the range.
    small = max(-high, 1e-4)
    return -torch.exp(torch.empty(shape, device='cuda', dtype=torch.float32).uniform_(
        torch.tensor(small).log(), torch.tensor(-float(low)).log()))


def check(kernels, decay, case, carried, calls_only, dtype=torch.bfloat16, with_bonus=False):
    """Forward and backward, and the same between other slices: what they hand over, and its use."""
    B, T, heads, K, V, (low, high), tokens = case
    H, G = heads if isinstance(heads, tuple) else (heads, heads)
    draw = lambda *shape: torch.randn(shape, device='cuda').to(dtype)
    q, k, v, dO = draw(B, T, G, K), draw(B, T, G, K), draw(B, T, H, V), draw(B, T, H, V)
    g, resets = gates(decay, low, high, B, T, H, K, V), starts(tokens, B, T)
    bonus = torch.randn(H, K, device='cuda') if with_bonus else None
    sizes = (K, V) if decay == 'values' else (V, K)
    h0 = torch.randn(B, H, *sizes, device='cuda') if carried else None
    dht = torch.randn(B, H, *sizes, device='cuda') if carried else None

    def ours(summarized, keep=True):
        *summary, left = kernels.summarize(decay, q, k, v, g, resets, bonus, keep) if summarized else (None,)
        o, ht, kept = kernels.forward(decay, q, k, v, g, resets, h0, bonus=bonus, summarized=left)
        adjoint, memory = kernels.summarize_backward(decay, q, k, v, g, kept, dO, resets, bonus) if summarized else (None, None)
        dq, dk, *rest = kernels.backward(decay, q, k, v, g, kept, dO, resets, h0, dht, bonus=bonus, workspace=memory)
        if not calls_only:
            if G != H:
                dq, dk = (x.double().view(B, T, G, H // G, K).sum(3) for x in (dq, dk))
            if with_bonus:
                rest[-1] = rest[-1].double().sum(0)
        return [o, ht, dq, dk, *rest], [*summary, adjoint]

    alone, _ = ours(False)
    between, summary = ours(True)
    # What is handed to other slices is more exact than what segments inside a slice of a diagonal decay need.
    same_path = decay not in ('diagonal', 'values') or dtype == torch.float32
    again = between if same_path or calls_only else ours(False)[0]
    # The same bits, too, where the backward pass makes again what the forward pass could have kept.
    between_again, summary_again = (alone, summary) if same_path else ours(True, keep=False)
    if calls_only:
        return True
    leaves = [None if x is None else x.double().requires_grad_() for x in (q, k, v, g, h0, bonus)]
    o, ht = reference(decay, *leaves[:4], resets, leaves[4], bonus=leaves[5])
    loss = (o * dO.double()).sum() + (0 if dht is None else (ht * dht.double()).sum())
    wanted = [x for x in leaves if x is not None]
    found = dict(zip(map(id, wanted), torch.autograd.grad(loss, wanted, materialize_grads=True)))
    if decay == 'fixed':  # a number of the head, which has no gradient
        leaves[3] = None
    exact = [o, ht, *(None if x is None else found[id(x)] for x in leaves)]
    f32 = dtype == torch.float32
    label = (f'{decay:9} B{B} T{T} H{H} G{G} K{K} V{V} {low}..{high} ' + 'documents ' * (tokens is not None)
             + 'carried ' * carried + 'f32 ' * f32 + 'bonus ' * with_bonus)
    bounds = F32_BOUNDS if f32 else BOUNDS
    good = compare(label, bounds, *by_name(bounds, alone, again, exact))
    if not same_path:
        good &= compare(label + 'between slices', bounds, *by_name(bounds, between, between_again, exact))
    return good & check_summary(label, decay, (q, k, v, g), bonus, dO, resets, summary, summary_again)


def check_summary(label, decay, inputs, bonus, dO, resets, summary, summary_again):
    leaves = [None if x is None else x.double() for x in inputs]
    B, T, H, V = dO.shape
    K = inputs[0].shape[3]
    h0 = torch.zeros(B, H, *((K, V) if decay == 'values' else (V, K)), device='cuda', dtype=torch.float64, requires_grad=True)
    o, state = reference(decay, *leaves, resets, h0, bonus=None if bonus is None else bonus.double())
    adjoint, = torch.autograd.grad((o * dO.double()).sum(), h0, materialize_grads=True)
    _, _, reset, _ = summary
    exact = dict(fixed=lambda: (T * leaves[3]).exp().expand(B, H), scalar=lambda: leaves[3].sum(1).exp(),
                 diagonal=lambda: leaves[3].sum(1).exp(), values=lambda: leaves[3].sum(1).exp()).get(decay, lambda: None)()
    if exact is not None:
        if resets is not None and resets.any():  # M is not read
            exact = None
        elif exact.max() < 1e-37:  # nor are there f32 numbers for it
            exact = torch.zeros_like(exact)
    bits = torch.zeros(B, device='cuda') if resets is None else (resets.sum(1) > 0).float()
    bounds = dict(E=2e-5, M=2e-4, G=2e-5)
    found, again = by_name(bounds, *((E, M, G) for E, M, _, G in (summary, summary_again)))
    exact, = by_name(bounds, (state.detach(), exact, adjoint))
    return compare(label + 'summary', bounds, found, again, exact) & torch.equal(reset, bits)


def check_retraced(kernels, T, mean, outlier=1):
    """A long slice without decay, whose state the backward pass takes back chunk by chunk: errors of the whole, and of dq of
    the second chunk by itself, where what is left of the state is smallest (before the first one it is read). Of T = 8192 that
    is over 128 chunks, as many as there are at most; of more, over two segments. `mean`: of the inputs; `outlier`: what the
    values of a token near the end are multiplied by, whose rounding stays in what is left."""
    B, H, K, V, C = 1, 140, 64, 64, 64
    draw = lambda *shape: (torch.randn(shape, device='cuda') + mean).bfloat16()
    q, k, v, dO = draw(B, T, H, K), draw(B, T, H, K), draw(B, T, H, V), draw(B, T, H, V)
    v[:, T - 100] *= outlier

    def ours():
        o, _, states = kernels.forward('identity', q, k, v, None)
        return [o, *kernels.backward('identity', q, k, v, None, states, dO)[:3]]

    def chunks(x):
        x = torch.nn.functional.pad(x[0].double().transpose(0, 1), (0, 0, 0, -T % C))
        return x.reshape(H, -1, C, x.shape[-1])

    qs, ks, vs, gs = map(chunks, (q, k, v, dO))
    written, read = ks.transpose(2, 3) @ vs, qs.transpose(2, 3) @ gs
    S, D = written.cumsum(1) - written, read.flip(1).cumsum(1).flip(1) - read
    keys, values = torch.tril(qs @ ks.transpose(2, 3)), torch.tril(gs @ vs.transpose(2, 3))
    exact = [qs @ S + keys @ vs, gs @ S.transpose(2, 3) + values @ ks,
             vs @ D.transpose(2, 3) + values.transpose(2, 3) @ qs, ks @ D + keys.transpose(2, 3) @ gs]
    exact = [K**-0.5 * x.reshape(H, -1, x.shape[-1])[:, :T].transpose(0, 1)[None] for x in exact]
    found, again = ours(), ours()
    # retrace/retrace.h: an outlier of 1e5 leaves a percent.
    bounds = dict.fromkeys(('o', 'dq', 'dk', 'dv'), 8e-3) | dict(second=8e-3 if outlier == 1 else 2e-2)
    found, again, exact = (x + [x[1][:, C:2 * C]] for x in (found, again, exact))
    label = f'identity  B{B} T{T} H{H} K{K} V{V} mean {mean}' + f' outlier {outlier:.0e}' * (outlier != 1)
    return compare(label, bounds, *by_name(bounds, found, again, exact))


def check_isolation(kernels, decay, with_bonus=False):
    """A document of NaN leaves the next one's bits as they are; of a bonus all have a share."""
    B, T, H, K, V, split = 1, 200, 2, 64, 64, 83
    draw = lambda *shape: torch.randn(shape, device='cuda').bfloat16()
    q, k, v, dO = draw(B, T, H, K), draw(B, T, H, K), draw(B, T, H, V), draw(B, T, H, V)
    g, resets = gates(decay, -1, -1e-3, B, T, H, K, V), starts([split], B, T)
    bonus = torch.randn(H, K, device='cuda') if with_bonus else None

    def second():
        o, _, states = kernels.forward(decay, q, k, v, g, resets, bonus=bonus)
        found = kernels.backward(decay, q, k, v, g, states, dO, resets, bonus=bonus)[:4]
        return [x[:, split:].clone() for x in (o, *found) if x is not None]

    before = second()
    for x in (q, k, v, dO) + ((g,) if decay in ('scalar', 'diagonal', 'values') else ()):
        x[:, :split] = float('nan')
    good = all(torch.equal(x, y) and x.isfinite().all() for x, y in zip(before, second()))
    return say(good, f'{decay:9} documents do not see each other' + ' bonus' * with_bonus)


def cases_of(decay, cases):
    """A decay on values has keys and values exchanged, and no groups."""
    if decay != 'values':
        return cases
    return [(B, T, H, V, K, *rest) for B, T, H, K, V, *rest in cases if not isinstance(H, tuple)]


def main():
    torch.manual_seed(0)
    kernels = GatedLinear(sys.argv[1], poison=True)
    calls_only = '--calls-only' in sys.argv
    cases = SANITIZED if calls_only else CASES
    decays = 'identity', 'fixed', 'scalar', 'diagonal', 'values'
    named = [name for name in sys.argv[2:] if name != '--calls-only']
    types = [torch.bfloat16, torch.float32]
    types = [dtype for dtype in types if str(dtype)[6:] in named] or types
    parts = [name for name in named if name in (*decays, 'bonus')] or [*decays, 'bonus']
    results = []
    for decay in (name for name in parts if name != 'bonus'):
        if not calls_only:
            results.append(check_isolation(kernels, decay))
        if decay == 'identity' and not calls_only:
            results += [check_retraced(kernels, T, mean) for T in (8192, 8300) for mean in (0, 1)]
            results.append(check_retraced(kernels, 8192, 0, outlier=1e5))
        for i, case in enumerate(cases_of(decay, cases)):
            if torch.bfloat16 in types:
                results.append(check(kernels, decay, case, i % 2 == 1, calls_only))
            if torch.float32 in types and case[1] <= 350:
                results.append(check(kernels, decay, case, i % 2 == 0, calls_only, torch.float32))
    if 'bonus' in parts and not calls_only:
        results += [check_isolation(kernels, decay, with_bonus=True) for decay in ('identity', 'diagonal')]
    for i, case in enumerate(cases if 'bonus' in parts else []):
        for decay in ('identity', 'diagonal') if i < 6 else ('diagonal',):
            for dtype in types:
                if dtype == torch.bfloat16 or case[1] <= 350:
                    results.append(check(kernels, decay, case, i % 2 == 1, calls_only, dtype, with_bonus=True))
    print(f'{sum(results)} passed, {len(results) - sum(results)} failed')
    sys.exit(0 if all(results) else 1)


main()
