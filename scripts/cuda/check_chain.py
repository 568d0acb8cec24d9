"""Holds chains through mapped memory (comm/peer) against f64: ranks are streams of one process, whose kernels run side by side.

usage: python3 check_chain.py LIBRARY.so [--calls-only]
`--calls-only`: one rank after the other, for compute-sanitizer, which may not run kernels side by side. Exit status 1 if an
error is over its bound, not finite, or not the same bits when the chain is run again.
"""

import ctypes
import sys
import time

import torch

from kernel_calls import Checks, Library, address, i32, i64, pointer, structure

LANES, SLOTS, SLOT_FLOATS, COUNTER = 32, 4, 8192, 128
ARRIVED, TAKEN, GONE = 0, LANES * COUNTER, 2 * LANES * COUNTER
INBOX = GONE + COUNTER + 4 * LANES * SLOTS * SLOT_FLOATS

Transition = structure('Transition', i32='kind transposed', i64='rowsPerHead headsPerBatch rowLength',
                       pointer='factor rates reset E S out')
Link = structure('Link', i32='side', pointer='own theirs')


class Chain(ctypes.Structure):
    _fields_ = [('task', Transition), ('numRows', i64), ('incoming', pointer), ('prev', Link), ('next', Link),
                ('passed', pointer), ('abort', pointer), ('lost', pointer)]


KINDS = ['identity', 'scalar', 'diagonal', 'exp-diagonal', 'fixed-complex', 'dense', 'log-max']
# B, H, R, N
SHAPES = [(1, 1, 1, 2), (2, 3, 5, 8), (2, 2, 37, 34), (1, 8, 128, 128), (1, 1, 5, 1024)]


def segment(kind, shape, packed):
    B, H, R, N = shape
    draw = lambda *s: torch.randn(s, device='cuda')
    factors = {'identity': None, 'diagonal': (B, H, N), 'fixed-complex': (B, H, N), 'dense': (B, H, N, N)}
    size = factors.get(kind, (B, H))
    reset = torch.tensor([float(b % 2 == 0) for b in range(B)], device='cuda') if packed else None
    return dict(E=draw(*shape), factor=None if size is None else draw(*size) / (N ** 0.5 if kind == 'dense' else 1),
                rates=draw(H, N) / 4 if kind == 'exp-diagonal' else None, reset=reset)


def apply(kind, transposed, s, S):
    """reset ? E : M S + E in f64."""
    E, f = s['E'].double(), None if s['factor'] is None else s['factor'].double()
    if kind == 'identity':
        out = S + E
    elif kind == 'scalar':
        out = f[..., None, None] * S + E
    elif kind == 'diagonal':
        out = f[:, :, None] * S + E
    elif kind == 'exp-diagonal':
        out = (s['rates'].double() * f[..., None]).exp()[:, :, None] * S + E
    elif kind == 'fixed-complex':
        m = torch.view_as_complex(f.view(*f.shape[:2], 1, -1, 2))
        product = torch.view_as_complex(S.view(*S.shape[:3], -1, 2).contiguous()) * (m.conj() if transposed else m)
        out = torch.view_as_real(product).reshape(S.shape) + E
    elif kind == 'dense':
        out = S @ (f.mT if transposed else f) + E
    else:
        decayed, added = S[..., -1:] + f[..., None, None], E[..., -1:]
        m = torch.maximum(decayed, added)
        out = torch.cat([(decayed - m).exp() * S[..., :-1] + (added - m).exp() * E[..., :-1], m], -1)
    return out if s['reset'] is None else torch.where(s['reset'].view(-1, 1, 1, 1) != 0, E, out)


class Ranks:
    """P ranks with a landing, a stream and words in page-locked memory each."""

    def __init__(self, library, P):
        self.library, self.P = library, P
        floats = (2 * INBOX + 2 * LANES * 8) // 4
        self.landings = [torch.zeros(floats, device='cuda') for _ in range(P)]
        for landing in self.landings:
            for inbox in range(2):
                begin = inbox * INBOX // 4
                landing[begin + (GONE + COUNTER) // 4:begin + INBOX // 4] = float('nan')
        self.streams = [torch.cuda.Stream() for _ in range(P)]
        self.words = [torch.zeros(2, dtype=torch.int32).pin_memory() for _ in range(P)]
        torch.cuda.synchronize()

    def link(self, rank, side):
        if not 0 <= rank + side < self.P:
            return Link()
        # From the lower neighbour first.
        own, theirs = (0, INBOX) if side < 0 else (INBOX, 0)
        return Link(side, address(self.landings[rank]) + own, address(self.landings[rank + side]) + theirs)

    def call(self, rank, kind, step, s, incoming):
        B, H, R, N = s['E'].shape
        transposed = step < 0 and kind != 'log-max'
        task = Transition(KINDS.index(kind), transposed, R, H, N, address(s['factor']), address(s['rates']),
                          address(s['reset']), address(s['E']), None, None)
        words = self.words[rank].data_ptr()
        passed = address(self.landings[rank]) + 2 * INBOX + (0 if step > 0 else LANES * 8)
        chain = Chain(task, B * H * R, address(incoming), self.link(rank, -step), self.link(rank, step), passed, words,
                      words + 4)
        with torch.cuda.stream(self.streams[rank]):
            self.library.run('longscanPeerChain', chain)

    def scan(self, kind, step, segments, in_order):
        """What enters each rank but the first; those that wait longest are launched first unless `in_order`."""
        order = list(range(self.P))[::step]
        found = {rank: self.library.empty(segments[rank]['E'].shape) for rank in order[1:]}
        torch.cuda.synchronize()
        for rank in order if in_order else order[::-1]:
            self.call(rank, kind, step, segments[rank], found.get(rank))
            if in_order:
                torch.cuda.synchronize()
        torch.cuda.synchronize()
        return {f'rank{rank}': x for rank, x in found.items()}

    def reference(self, kind, step, segments):
        order = list(range(self.P))[::step]
        state, entered = segments[order[0]]['E'].double(), {}
        for rank in order[1:]:
            entered[f'rank{rank}'] = state
            state = apply(kind, step < 0 and kind != 'log-max', segments[rank], state)
        return entered


def check_abort(library, checks):
    """A rank that waits says that its neighbour has given up, and ends when it is told to."""
    ranks = Ranks(library, 3)
    s = segment('identity', (1, 1, 4, 4), False)
    incoming = [library.empty(s['E'].shape) for _ in range(3)]
    for rank in (1, 2):
        ranks.call(rank, 'identity', 1, s, incoming[rank])
    ranks.words[1][0] = 1
    ranks.streams[1].synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        ranks.landings[2][GONE // 4:GONE // 4 + 1].copy_(torch.ones(1).pin_memory(), non_blocking=True)
    deadline = time.monotonic() + 10
    while int(ranks.words[2][1]) == 0 and time.monotonic() < deadline:
        time.sleep(1e-3)
    waits = not ranks.streams[2].query()
    ranks.words[2][0] = 1
    torch.cuda.synchronize()
    lost = [int(words[1]) for words in ranks.words]
    checks.add(waits and lost == [0, 0, -1], f'a neighbour gives up: lost {lost}, {"waits" if waits else "ended"}')


def main():
    torch.manual_seed(0)
    calls_only = '--calls-only' in sys.argv
    library, checks = Library(sys.argv[1], poison=True), Checks()
    assert library.functions.longscanPeerChainLoad() == 0
    for P in (2, 4):
        ranks = Ranks(library, P)
        for kind in KINDS:
            for shape in SHAPES:
                for step in (1, -1):
                    for packed in (False, True):
                        segments = [segment(kind, shape, packed and rank % 2 == 1) for rank in range(P)]
                        found = ranks.scan(kind, step, segments, calls_only)
                        if calls_only:
                            continue
                        again = ranks.scan(kind, step, segments, False)
                        label = f'{P} ranks {kind} {shape} {"up" if step > 0 else "down"} {"packed" if packed else ""}'
                        checks(label, 2e-6, found, again, ranks.reference(kind, step, segments))
    if not calls_only:
        check_abort(library, checks)
    return checks.finish()


if __name__ == '__main__':
    sys.exit(main())
