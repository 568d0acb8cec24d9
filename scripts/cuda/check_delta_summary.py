"""Holds the chunkwise summaries of ops/delta-rule's CUDA kernels against f64: what a slice does to a state, E and M, the
adjoint that leaves it, G, and passes that the device cuts into segments, with and without a summary.

usage: python3 check_delta_summary.py LIBRARY.so [--calls-only] [GATE ...] [CASE ...]      (none scalar diagonal none-own scalar-own)
`-own`: keys that erase of their own, as Comba has them.
`--calls-only`: makes the calls at small shapes and compares nothing, for compute-sanitizer. CASE: numbers of cases; default: all.
Errors are |x - f64| / |f64| over a whole tensor, against the recurrence (`E`, `M`: the kernels' own products are in bf16)
and against the map that outputs are computed by (`map`: the prepared chunks in f64, whose products must not add an
error). Exit status 1 if one is over the bound, not finite, or not the same bits when the call is made again.
"""

import sys
from functools import partial

import torch
import torch.nn.functional as F

from delta_rule import DeltaRule, erase_keys, reference, split_kind
from kernel_calls import Checks, exact_leaves, gradients, log_uniform, starts

BOUNDS = dict(o=1e-2, ht=1e-2, E=1e-2, M=2e-2, G=1e-2, mapE=3e-5, mapM=3e-5)
BOUNDS.update(dq=1e-2, dk=1.2e-2, dv=1e-2, dbeta=1.2e-2, dg=2e-2, dh0=1e-2, db=1.2e-2)

# B, T, H, K, V, log decays from .. to, tokens where documents start
CASES = [
    (1, 1, 9, 64, 64, (-1, -1e-4), None),
    (2, 63, 3, 32, 64, (-0.5, -1e-4), None),
    (1, 600, 2, 64, 32, (-1e-3, -1e-4), None),
    (1, 129, 1, 128, 128, (-20, -1e-4), None),
    (2, 150, 2, 64, 128, (-1, -1e-4), [0, 1, 2, 31, 64, 100, 147]),
    (1, 900, 2, 128, 128, (-0.1, -1e-4), [350]),
    (1, 777, 2, 128, 64, (-0.03, -1e-4), None),
    (1, 300, 1, 256, 128, (-0.2, -1e-4), [130, 192]),
    (1, 530, 1, 256, 512, (-0.01, -1e-4), None),
    (1, 460, 2, 192, 264, (-0.01, -1e-4), None),
    (2, 700, 1, 40, 72, (-0.05, -1e-4), [5, 300]),
    (1, 700, 1, 40, 72, (-0.01, -1e-4), None),
    (1, 300, 70, 128, 128, (-0.05, -1e-4), None),
]
# Of few heads and many tokens.
LONG = [
    (1, 4096, 2, 128, 128, None),
    (2, 3000, 1, 64, 96, [1000, 1700]),
    (1, 4200, 1, 192, 64, None),
]
# Whole chunks and parts, every number of panels, one segment and several: of the first one with a sweep that is cut alone.
SANITIZED = [
    (1, 1000, 1, 64, 72, (-1, -1e-4), [2, 31, 64, 100, 500]),
    (1, 1500, 1, 128, 64, (-1, -1e-4), None),
    (1, 1600, 1, 192, 264, (-1, -1e-4), [700]),
    (1, 70, 40, 128, 128, (-1, -1e-4), None),
]


def inputs(kind, B, T, H, K, V, low, high):
    """q, k, v, beta and g, and the keys that erase of their own, or None."""
    gate, has_own = split_kind(kind)
    q, v = (torch.randn(B, T, H, size, device='cuda').bfloat16() for size in (K, V))
    k = F.normalize(torch.randn(B, T, H, K, device='cuda'), dim=-1).bfloat16()
    beta = torch.rand(B, T, H, device='cuda')
    g = None if gate == 'none' else log_uniform(low, high, *((B, T, H) if gate == 'scalar' else (B, T, H, K)))
    return (q, k, v, beta, g), erase_keys(k) if has_own else None


class Calls:
    """The library's, of one kind, with keys `b` that erase of their own or without."""

    def __init__(self, kernels, kind, b):
        for name in ('forward', 'prepare', 'summarize', 'summarize_backward', 'backward'):
            setattr(self, name, partial(getattr(kernels, name), split_kind(kind)[0], b=b))


def exact_calls(kind, b):
    return partial(reference, split_kind(kind)[0], b=None if b is None else b.double())


class Prepared:
    """Parts of what `prepare` leaves, by the layout in chunkwise/kept.h, as [B * H, chunks, 64, .]."""

    def __init__(self, kept, gate, k, V):
        B, T, H, K = k.shape
        self.kept, self.at = kept.view(torch.uint8), 0
        heads, chunks = B * H, (T + 63) // 64
        rows = heads * chunks * 64
        self.take(torch.bfloat16, rows * 64), self.take(torch.bfloat16, rows * 64)
        into = None if gate == 'diagonal' else self.take(torch.float32, rows)
        self.out_of = self.take(torch.float32, rows).view(heads, chunks, 64, 1)
        if gate == 'diagonal':
            self.take(torch.bfloat16, k.numel())
            k = self.take(torch.bfloat16, k.numel()).view(k.shape)
        self.w = self.take(torch.bfloat16, rows * K).view(heads, chunks, 64, K)
        self.u = self.take(torch.bfloat16, rows * V).view(heads, chunks, 64, V)
        if gate == 'diagonal':
            self.take(torch.bfloat16, heads * chunks * K * V)
            self.decay = self.take(torch.float32, heads * chunks * K).view(heads, chunks, K)
        else:
            ends = [min(64 * (c + 1), T) - 1 for c in range(chunks)]
            self.decay = into.view(heads, chunks * 64)[:, ends, None]
        padded = F.pad(k.transpose(1, 2).reshape(heads, T, K), (0, 0, 0, chunks * 64 - T))
        self.keys = padded.view(heads, chunks, 64, K)
        self.lengths = [min(64, T - 64 * c) for c in range(chunks)]

    def take(self, dtype, count):
        size = count * torch.empty((), dtype=dtype).element_size()
        part = self.kept[self.at:self.at + size].view(dtype)
        self.at += (size + 255) // 256 * 256
        return part

    def map(self):
        """E and M^T of all chunks in f64."""
        heads, chunks, _, K = self.w.shape
        V = self.u.shape[3]
        state = torch.zeros(heads, K, V + K, device='cuda', dtype=torch.double)
        state[:, :, V:] = torch.eye(K, device='cuda', dtype=torch.double)
        for c, length in enumerate(self.lengths):
            w, u, keys, out_of = (x[:, c, :length].double() for x in (self.w, self.u, self.keys, self.out_of))
            n = F.pad(u, (0, K)) - w @ state
            state = self.decay[:, c, :, None].double() * state + keys.transpose(1, 2) @ (out_of * n)
        both = state.transpose(1, 2)
        return both[:, :V].clone(), both[:, V:].clone()


def check(checks, kernels, kind, case, calls_only):
    B, T, H, K, V, (low, high), tokens = case
    tensors, b = inputs(kind, B, T, H, K, V, low, high)
    calls, by_tokens = Calls(kernels, kind, b), exact_calls(kind, b)
    resets = starts(tokens, B, T)

    def ours():
        prepared = calls.prepare(*tensors, resets)
        return prepared, calls.summarize(*tensors, prepared, resets)

    prepared, (E, M, reset, segments) = ours()
    if calls_only:
        calls.forward(*tensors, resets, prepared=prepared, segments=segments)
        return
    again = ours()[1]
    label = f'{kind:10} B{B} T{T} H{H} K{K} V{V} {low}..{high}{" documents" if tokens else ""}'
    wide = [None if x is None else x.double() for x in tensors]
    exact = dict(E=by_tokens(*wide, resets)[1])
    identity = torch.eye(K, device='cuda', dtype=torch.double).expand(B, H, K, K)
    nothing = torch.zeros(B, T, H, K, device='cuda', dtype=torch.double)
    factor = by_tokens(*wide[:2], nothing, *wide[3:], resets, identity)[1]
    # Of many strong decays nothing is left to compare.
    if resets is not None or factor.norm() > 1e-20:
        exact['M'] = factor
    found, repeated = dict(E=E, M=M), dict(E=again[0], M=again[1])
    if resets is None:
        mapE, mapM = Prepared(prepared, split_kind(kind)[0], tensors[1], V).map()
        exact['mapE'] = mapE.view(E.shape)
        if 'M' in exact:
            exact['mapM'] = mapM.view(M.shape)
        found.update(mapE=E, mapM=M), repeated.update(mapE=again[0], mapM=again[1])
    checks(label, BOUNDS, found, repeated, exact)

    if resets is not None:
        checks.add(torch.equal(reset, (resets != 0).any(1).float()), f'{label}: reset bits')

    # A state through the sweep of the segments, and through the summary.
    h0 = torch.randn(B, H, V, K, device='cuda')
    exact = dict(zip(('o', 'ht'), by_tokens(*wide, resets, h0.double())))
    runs = []
    for _ in range(2):
        kept = calls.prepare(*tensors, resets)
        cut = calls.summarize(*tensors, kept, resets)[3]
        runs.append(dict(zip(('o', 'ht'), calls.forward(*tensors, resets, h0, prepared=kept, segments=cut))))
    checks(f'{label}: from prepared chunks', BOUNDS, *runs, exact)
    if resets is None:
        through = E.double() + h0.double() @ M.double()
        checks(f'{label}: by E and M', BOUNDS, dict(ht=through), dict(ht=through), dict(ht=exact['ht']))


def check_forward(checks, kernels, kind):
    """Outputs of few heads and many tokens, whose sweep the device cuts."""
    for B, T, H, K, V, tokens in LONG:
        tensors, b = inputs(kind, B, T, H, K, V, -1e-2, -1e-4)
        calls, by_tokens = Calls(kernels, kind, b), exact_calls(kind, b)
        resets, h0 = starts(tokens, B, T), torch.randn(B, H, V, K, device='cuda')
        wide = [None if x is None else x.double() for x in tensors]
        for start in (None, h0):
            exact = dict(zip(('o', 'ht'), by_tokens(*wide, resets, None if start is None else start.double())))
            runs = [dict(zip(('o', 'ht'), calls.forward(*tensors, resets, start))) for _ in range(2)]
            checks(f'{kind:10} B{B} T{T} H{H} K{K} V{V}: a sweep in segments', BOUNDS, *runs, exact)


def check_against_time(checks, kernels, kind, case, calls_only=False):
    """G of prepared chunks and of those that outputs came from, and every gradient; of a slice alone, too."""
    B, T, H, K, V, (low, high), tokens = case
    tensors, b = inputs(kind, B, T, H, K, V, low, high)
    calls = Calls(kernels, kind, b)
    resets = starts(tokens, B, T)
    dO = torch.randn(B, T, H, V, device='cuda').bfloat16()
    h0, dht = torch.randn(B, H, V, K, device='cuda'), torch.randn(B, H, V, K, device='cuda')
    names = ('dq', 'dk', 'dv', 'dbeta', 'dg', 'dh0', 'db')

    def between():
        kept = calls.prepare(*tensors, resets)
        M, _, segments = calls.summarize(*tensors, kept, resets)[1:]
        G, leaving = calls.summarize_backward(*tensors, kept, segments, dO, resets)
        calls.forward(*tensors, resets, h0, prepared=kept, segments=segments)
        same = torch.equal(G, calls.summarize_backward(*tensors, kept, segments, dO, resets)[0])
        found = calls.backward(*tensors, kept, dO, resets, h0, dht, segments=segments, leaving=leaving)
        return dict(zip(names, found), G=G), M, same

    def alone():
        kept = calls.forward(*tensors, resets, h0)[2]
        return dict(zip(names, calls.backward(*tensors, kept, dO, resets, h0, dht)))

    found, M, same = between()
    if calls_only:
        alone()
        return
    label = f'{kind:10} B{B} T{T} H{H} K{K} V{V} {low}..{high}{" documents" if tokens else ""}'
    leaves = exact_leaves(**dict(zip(('q', 'k', 'v', 'beta', 'g', 'h0', 'b'), (*tensors, h0, b))))
    results = reference(split_kind(kind)[0], *list(leaves.values())[:5], resets, leaves['h0'], b=leaves['b'])
    # The adjoint that outputs alone give; nothing enters their part of the loss but through the state.
    own = torch.autograd.grad((results[0] * dO.double()).sum(), leaves['h0'], retain_graph=True)[0]
    exact = gradients(results, (dO, dht), leaves)
    checks(f'{label}: against time', BOUNDS, found, between()[0], dict(exact, G=own))
    checks(f'{label}: alone', BOUNDS, alone(), alone(), exact)
    checks.add(same, f'{label}: G of prepared chunks has the bits of G after the forward pass')
    if resets is None:
        through = found['G'].double() + dht.double() @ M.double().mT
        checks(f'{label}: by G and M', BOUNDS, dict(dh0=through), dict(dh0=through), dict(dh0=exact['dh0']))


def check_isolation(checks, kernels, kind):
    """A document of NaN leaves E of the next one, and G of the one before, as they are, wherever the device cuts."""
    B, T, H, K, V, split = 1, 1500, 2, 64, 64, 703
    tensors, b = inputs(kind, B, T, H, K, V, -1e-2, -1e-3)
    calls = Calls(kernels, kind, b)
    resets = starts([split], B, T)

    def effect():
        return calls.summarize(*tensors, calls.prepare(*tensors, resets), resets)[:2]

    before = effect()
    for x in (*tensors, b):
        if x is not None:
            x[:, :split] = float('nan')
    same = all(torch.equal(x, y) for x, y in zip(before, effect()))
    checks.add(same and before[1].abs().max() == 0, f'{kind:10} documents do not see each other')

    tensors, b = inputs(kind, B, T, H, K, V, -1e-2, -1e-3)
    calls, dO = Calls(kernels, kind, b), torch.randn(B, T, H, V, device='cuda').bfloat16()

    def leaving():
        kept = calls.prepare(*tensors, resets)
        segments = calls.summarize(*tensors, kept, resets)[3]
        return calls.summarize_backward(*tensors, kept, segments, dO, resets)[0]

    before = leaving()
    for x in (*tensors, b, dO):
        if x is not None:
            x[:, split:] = float('nan')
    checks.add(torch.equal(before, leaving()) and before.norm() > 0, f'{kind:10} nor do they against time')


def check_long(checks, kernels, kind):
    """Thousands of tokens, many segments, errors against the map alone."""
    for B, T, H, K, V in ((1, 8192, 2, 128, 128), (1, 16384, 16, 128, 128), (1, 8192, 4, 64, 64), (1, 8192, 2, 256, 256)):
        tensors, b = inputs(kind, B, T, H, K, V, -3e-3, -1e-4)
        calls = Calls(kernels, kind, b)
        found, again = [], []
        for results in (found, again):
            prepared = calls.prepare(*tensors)
            results += calls.summarize(*tensors, prepared)[:2]
        E, M = Prepared(prepared, split_kind(kind)[0], tensors[1], V).map()
        names = ('mapE', 'mapM')
        # Of M less and less is left, and each chunk's products are off by 2^-18.
        bounds = dict(BOUNDS, mapM=2**-17 * ((T + 63) // 64) ** 0.5)
        exact = dict(zip(names, (E.view(found[0].shape), M.view(found[1].shape))))
        checks(f'{kind:10} B{B} T{T} H{H} K{K} V{V}', bounds, dict(zip(names, found)), dict(zip(names, again)), exact)


def main():
    torch.manual_seed(0)
    kernels, checks = DeltaRule(sys.argv[1], poison=True), Checks()
    calls_only = '--calls-only' in sys.argv
    numbers = [int(x) for x in sys.argv[2:] if x.isdigit()]
    kinds = [x for x in sys.argv[2:] if x[0].isalpha()] or ('none', 'scalar', 'diagonal', 'none-own', 'scalar-own')
    for kind in kinds:
        cases = SANITIZED if calls_only else CASES
        cases = [cases[i] for i in numbers] or cases
        for case in cases:
            check(checks, kernels, kind, case, calls_only)
        if not calls_only:
            check_isolation(checks, kernels, kind)
            check_forward(checks, kernels, kind)
            check_long(checks, kernels, kind)
            cases = cases + [(*shape, (-1e-2, -1e-4), tokens) for *shape, tokens in LONG]
        for case in cases:
            check_against_time(checks, kernels, kind, case, calls_only)
    torch.cuda.synchronize()
    sys.exit(checks.finish())


main()
