"""Holds the CUDA kernels of ops/attention against f64: output, lse and every gradient, at ugly shapes and under every mask.

usage: python3 check_attention.py LIBRARY.so [--forward] [--calls-only] [bfloat16] [float32] [NUMBERS OF CASES]
`--forward`: without gradients. `--calls-only`: makes the calls at small shapes and compares nothing, for
compute-sanitizer. Exit status 1 if an error is over its bound, not finite, or not the same bits when the call is made again.
"""

import sys

import torch

from attention import Attention, after_of, positions_of, reference
from kernel_calls import Checks, Library, asked_for

BF16 = dict(o=4e-3, lse=1e-5, dq=6e-3, dk=6e-3, dv=6e-3, dkSelf=6e-3, dvSelf=6e-3)
F32 = dict.fromkeys(BF16, 1e-5)
# B, T, H, G, K, V and options; `starts`: of documents, `both`: a document is seen whole, `before`: keys before the queries
CASES = [
    (1, 1, 1, 1, 64, 64, {}),
    (1, 63, 2, 1, 64, 64, {}),
    (1, 129, 2, 2, 128, 128, {}),
    (2, 1000, 4, 2, 128, 128, {}),
    (2, 1000, 4, 2, 64, 64, {}),
    (1, 400, 2, 1, 40, 72, {}),
    (1, 400, 2, 1, 120, 8, dict(scale=0.3)),
    (1, 300, 2, 1, 256, 200, {}),
    (1, 300, 2, 2, 128, 128, dict(before=333)),
    (1, 700, 2, 2, 128, 128, dict(window=100)),
    (1, 700, 2, 1, 64, 64, dict(window=300, before=77)),
    (2, 700, 2, 1, 128, 128, dict(starts=[0, 1, 2, 31, 64, 100, 128, 255, 256, 500])),
    (2, 700, 2, 1, 64, 64, dict(starts=[5, 333, 640], window=77)),
    (1, 500, 2, 2, 128, 128, dict(both=True)),
    (2, 500, 2, 2, 64, 128, dict(both=True, starts=[100, 228, 229, 420], window=90)),
    (1, 200, 4, 2, 64, 64, dict(own=True)),
    (2, 200, 4, 2, 64, 32, dict(own=True, chunk=7, starts=[0, 33, 34, 150])),
    (1, 150, 2, 1, 64, 64, dict(scale=-0.2)),
    (2, 300, 40, 20, 128, 128, {}),  # more key heads than start in turns
]
# Keys of more tiles than the tensor cores' kernels hold at once; the short ones also in f32, without tensor cores.
SANITIZED = [
    (1, 300, 1, 1, 128, 128, {}),
    (1, 300, 1, 1, 64, 64, dict(window=200, before=77)),
    (1, 200, 2, 1, 128, 128, dict(starts=[0, 31, 64, 100, 128])),
    (1, 200, 1, 1, 64, 128, dict(both=True, starts=[100], window=90)),
    (1, 70, 1, 1, 256, 200, {}),
    (1, 70, 2, 1, 40, 72, dict(starts=[33])),
    (1, 40, 2, 1, 64, 32, dict(own=True, chunk=7, starts=[11])),
]
# Tokens up to which f32 is called for compute-sanitizer.
SHORT = 70


def problem(B, T, H, G, K, V, before=0, starts=None, both=False, own=False, dtype=torch.bfloat16, **options):
    """Inputs, options and dO."""
    S = before + T
    positions = positions_of(B, T, starts, before)
    options = dict(options, keyOffset=before, positions=positions)
    if both:
        options['after'] = after_of(positions, T, B)
    if options.get('chunk'):
        S = -(-S // options['chunk'])
    shapes = dict(q=(B, T, H, K), k=(B, S, G, K), v=(B, S, G, V))
    if own:
        shapes.update(kSelf=(B, T, G, K), vSelf=(B, T, G, V))
    inputs = {name: torch.randn(shape, device='cuda').to(dtype) for name, shape in shapes.items()}
    return inputs, options, torch.randn(B, T, H, V, device='cuda').to(dtype)


def whole(attention, inputs, options, dO, gradients):
    o, lse = attention.forward(inputs, options)
    found = attention.backward(inputs, options, o, lse, dO) if gradients else {}
    return dict(o=o, lse=lse, **found)


def check_isolation(attention, checks, gradients):
    """A document of NaN leaves the others' bits as they are: the tokens before, between and after two of them."""
    for K, more in ((128, {}), (64, {}), (128, dict(window=50)), (128, dict(both=True)), (64, dict(window=9, both=True))):
        inputs, options, dO = problem(1, 700, 2, 1, K, K, starts=[0, 100, 230, 390, 600], **more)
        bad = torch.zeros(700, dtype=torch.bool)
        bad[100:230] = bad[390:600] = True
        good = (~bad).cuda()
        before = whole(attention, inputs, options, dO, gradients)
        for x in (*inputs.values(), dO):
            x[:, bad] = float('nan')
        after = whole(attention, inputs, options, dO, gradients)
        names = [n for n, x in before.items() if not torch.equal(x[:, good], after[n][:, good])]
        lost = [n for n, x in after.items() if not x[:, ~good].isnan().all()]
        checks.add(not names, f'documents do not see each other, K {K} {list(more)}: {names} changed; not all NaN: {lost}')


def check_future(attention, checks, gradients):
    """A token of NaN changes nothing that comes before it."""
    inputs, options, dO = problem(1, 300, 2, 1, 128, 128)
    before = whole(attention, inputs, options, dO, False)
    inputs['k'][:, 201] = inputs['v'][:, 202] = float('nan')
    after = whole(attention, inputs, options, dO, False)
    good = torch.equal(before['o'][:, :201], after['o'][:, :201]) and after['o'][:, 202:].isnan().all().item()
    checks.add(good, 'what is not seen has no effect, what is seen has')


def check_heads_apart(attention, checks, gradients):
    """Key heads whose walks are so long that three at a time start in turns give the bits that each gives alone."""
    inputs, options, dO = problem(1, 131072, 10, 5, 128, 128)
    found = whole(attention, inputs, options, dO, gradients)
    differ = set()
    for g in range(5):
        of = lambda x: x.unflatten(2, (5, -1))[:, :, g].contiguous()
        alone = whole(attention, {n: of(x) for n, x in inputs.items()}, options, of(dO), gradients)
        differ.update(n for n, x in alone.items() if not torch.equal(x, of(found[n])))
    checks.add(not differ, f'heads do not see each other: {sorted(differ)} differ')


def check_impossible_positions(attention, checks, gradients):
    inputs, options, dO = problem(1, 400, 2, 1, 128, 128)
    options['positions'] = torch.tensor([10**9 if t % 2 else -(10**9) for t in range(400)], dtype=torch.int32).cuda()[None]
    found = whole(attention, inputs, options, dO, gradients)
    zero = found['o'].float().abs().amax((0, 2, 3)) == 0
    finite = all(x.isfinite().all() for n, x in found.items() if n != 'lse')
    checks.add(torch.equal(zero.cpu(), torch.arange(400) % 2 == 0) and finite, 'positions that cannot be')


def check_blocks(attention, checks, gradients):
    """Keys in blocks, in any order, give what they give at once."""
    rounded_often = dict.fromkeys(BF16, 1e-2)
    for dtype, result_type, bound in ((torch.bfloat16, torch.float32, BF16), (torch.bfloat16, torch.bfloat16, rounded_often),
                                      (torch.float32, torch.float32, F32)):
        for starts in (None, [50, 300, 420]):
            inputs, options, dO = problem(1, 300, 4, 2, 128, 128, before=200, starts=starts, dtype=dtype)
            exact = reference(inputs, options, dO)
            blocks = [(330, 500), (0, 130), (130, 330)]

            def parts():
                cut = lambda x, low, high: x[:, low:high].contiguous()
                cuts = [(dict(q=inputs['q'], k=cut(inputs['k'], *at), v=cut(inputs['v'], *at)),
                         dict(options, keyOffset=200 - at[0])) for at in blocks]
                result = None
                for one in cuts:
                    result = attention.forward(*one, result_type=result_type, result=result)
                found = dict(o=result[0], lse=result[1])
                if gradients:
                    given = {'d' + name: torch.zeros_like(x, dtype=result_type) for name, x in inputs.items()}
                    for one, (low, high) in zip(cuts, blocks):
                        block = dict(dq=given['dq'], dk=cut(given['dk'], low, high), dv=cut(given['dv'], low, high))
                        attention.backward(*one, *result, dO, gradients=block)
                        given['dk'][:, low:high], given['dv'][:, low:high] = block['dk'], block['dv']
                    found.update(given)
                return found

            found, label = parts(), f'blocks of {dtype} into {result_type}, documents {starts}'
            checks(label, bound, found, parts(), {n: exact[n] for n in found})


def main():
    torch.manual_seed(0)
    attention, checks = Attention(Library(sys.argv[1], poison=True)), Checks()
    gradients = '--forward' not in sys.argv
    calls_only = '--calls-only' in sys.argv
    cases, types = asked_for(sys.argv[2:], SANITIZED if calls_only else CASES, (torch.bfloat16, torch.float32))
    for _, (B, T, H, G, K, V, options) in cases:
        for dtype in types:
            if calls_only and dtype == torch.float32 and T > SHORT:
                continue
            bound = BF16 if dtype == torch.bfloat16 else F32
            given = problem(B, T, H, G, K, V, dtype=dtype, **options)
            found = whole(attention, *given, gradients)
            if calls_only:
                continue
            again = whole(attention, *given, gradients)
            # A lone key's score has no gradient but rounding.
            exact = {n: x.masked_fill(x.abs() < 1e-12, 0) for n, x in reference(*given).items()}
            checks(f'{dtype} B{B} T{T} H{H} G{G} K{K} V{V} {options}', bound, found, again, {n: exact[n] for n in found})
    if not calls_only:
        for check in (check_isolation, check_future, check_heads_apart, check_impossible_positions, check_blocks):
            check(attention, checks, gradients)
    sys.exit(checks.finish())


main()
