"""Our kernels' calls, by op: (library, inputs by name, dO) -> the forward pass, and both passes."""

import importlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cuda'))
from delta_general import Kind  # noqa: E402
from delta_rule import DeltaRule  # noqa: E402
from dplr import Dplr  # noqa: E402
from gated_linear import GatedLinear  # noqa: E402
from kernel_calls import Library  # noqa: E402
from peer_ops import fixed_decays  # noqa: E402
from scans import CausalConv, VectorScan  # noqa: E402


def gated_linear(decay):
    def passes(library, x, dO):
        kernels = GatedLinear(library)
        g = fixed_decays(x['q'].shape[2]) if decay == 'fixed' else x.get('g')
        inputs, bonus = (x['q'], x['k'], x['v'], g), x.get('bonus')

        def forward():
            return kernels.forward(decay, *inputs, want_state=False, bonus=bonus)

        def both():
            o, _, states = forward()
            return [o, *kernels.backward(decay, *inputs, states, dO, bonus=bonus)]

        return forward, both

    return passes


def delta_rule(gate):
    def passes(library, x, dO):
        kernels = DeltaRule(library)
        inputs, erase = (x['q'], x['k'], x['v'], x['beta'], x.get('g')), x.get('b')

        def forward():
            return kernels.forward(gate, *inputs, want_state=False, b=erase)

        def both():
            o, _, kept = forward()
            found = kernels.backward(gate, *inputs, kept, dO, b=erase)
            return [o, *(y for y in found if y is not None)]  # in the order of x

        return forward, both

    return passes


def delta_product(library, x, dO):
    """Rows of the gated delta rule, two a token; spreading and picking rows included, as rows.ts has them."""
    kernels = DeltaRule(library)
    keys = x['k'], x['v'], x['beta']

    def spread(y, row):
        rows = y.new_empty((1, y.shape[1], 2, *y.shape[2:]))
        rows[:, :, row] = y
        rows[:, :, 1 - row] = 0
        return rows.view(1, -1, *y.shape[2:])

    def pick(rows, row):
        return rows.view(1, rows.shape[1] // 2, 2, *rows.shape[2:])[:, :, row].contiguous()

    def pass_forward():
        inputs = spread(x['q'], 1), *keys, spread(x['g'], 0)
        o, _, kept = kernels.forward('scalar', *inputs, want_state=False)
        return pick(o, 1), kept

    def both():
        o, kept = pass_forward()
        inputs = spread(x['q'], 1), *keys, spread(x['g'], 0)
        dq, dk, dv, dbeta, dg, _ = kernels.backward('scalar', *inputs, kept, spread(dO, 1))
        return [o, *(dict(q=pick(dq, 1), k=dk, v=dv, beta=dbeta, g=pick(dg, 0))[name] for name in x)]

    return (lambda: pass_forward()[0]), both


def rwkv7(library, x, dO):
    kernels, kind = Dplr(library), Kind('diagonal', 'dplr')
    inputs = {name: x.get(name) for name in ('q', 'k', 'v', 'beta', 'g', 'b', 'e')}
    scale = x['q'].shape[3]**-0.5

    def forward():
        return kernels.forward(kind, inputs, scale=scale)

    def both():
        o, _, kept = forward()
        gradients = kernels.backward(kind, inputs, kept, dO, scale=scale)
        return [o, *(gradients['d' + name] for name in x)]

    return forward, both


def vector_scan(library, x, dO):
    scan = VectorScan(Library(library))

    def both():
        h, _ = scan.forward(x['x'], x['g'], None, None)
        return [h, *scan.backward(h, x['g'], None, None, dO, None)[:2]]

    return (lambda: scan.forward(x['x'], x['g'], None, None)), both


def causal_conv(library, x, dO):
    conv = CausalConv(Library(library))
    inputs = x['x'], None, x['weight'], x['bias'], None, True

    def both():
        y, _ = conv.forward(*inputs)
        dx, _, d_weight, d_bias = conv.backward(*inputs, dO)
        return [y, dx, d_weight, d_bias]

    return (lambda: conv.forward(*inputs)[0]), both


def attention(library, x, dO):
    kernels = importlib.import_module('attention').Attention(Library(library))

    def both():
        o, lse = kernels.forward(x, {})
        return [o, *kernels.backward(x, {}, o, lse, dO).values()]

    return (lambda: kernels.forward(x, {})), both


OUR_OPS = dict(linear=gated_linear('identity'), fixed=gated_linear('fixed'), simple_gla=gated_linear('scalar'),
               gla=gated_linear('diagonal'), delta=delta_rule('none'), gated_delta=delta_rule('scalar'),
               kda=delta_rule('diagonal'), delta_product=delta_product, comba=delta_rule('scalar'),
               rwkv7=rwkv7, rwkv6=gated_linear('diagonal'), hgrn=vector_scan, conv=causal_conv, attention=attention)


def our_passes(name, library, x, dO):
    """Raises LookupError where this library has no such kernels or not for these sizes."""
    try:
        forward, both = OUR_OPS[name](library, x, dO)
        forward()
    except (AttributeError, ImportError, KeyError, ValueError) as error:
        raise LookupError(f'not in this library: {error}') from None
    except RuntimeError as error:
        if 'CUDA error 1' not in str(error):  # cudaErrorInvalidValue: not supported
            raise
        raise LookupError(f'not in this library: {error}') from None
    return forward, lambda: [y for y in both() if y is not None]
