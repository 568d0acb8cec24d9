"""Relative RMS errors |x - f64| / |f64| of our outputs and gradients, and of the peer's, on the same inputs."""

import torch
import torch.nn.functional as F

from exact import by_autograd, recurrence
from our_ops import our_passes  # puts scripts/cuda on the path
from delta_general import INPUTS, Kind, reference
from peer_ops import PEER_OPS, adjoint_like, fixed_decays, peer_passes
from shapes import Shape

# Log decays, spread evenly over the orders of magnitude between.
GATES = ((-20, -1e-4), (-0.1, -1e-4))
SHORT = Shape(1024, 16, 128, 128)
LONG = (Shape(131072, 16, 128, 128), Shape(1048576, 16, 128, 128))
# Heads that are compared at the long ones: f64 takes eight seconds a head at 1M.
LONG_HEADS = 2


def gated(x, gates):
    """With log decays in that range; `gates` None: as they were drawn."""
    if 'g' not in x or gates is None:
        return x
    low, high = gates
    ends = torch.tensor(-high).log(), torch.tensor(-low).log()
    return x | dict(g=-torch.empty_like(x['g']).uniform_(*ends).exp())


def exact_hgrn(x):
    h, outputs = torch.zeros_like(x['x'][:, 0]), []
    for t in range(x['x'].shape[1]):
        h = x['g'][:, t].exp() * h + x['x'][:, t]
        outputs.append(h)
    return torch.stack(outputs, 1)


def exact_conv(x):
    D, W = x['weight'].shape
    y = F.conv1d(F.pad(x['x'].transpose(1, 2), (W - 1, 0)), x['weight'][:, None], x['bias'], groups=D)
    return F.silu(y.transpose(1, 2))


def exact_attention(x):
    q, k, v = (x[name][0].transpose(0, 1) for name in 'qkv')
    scores = q @ k.transpose(1, 2) * q.shape[2]**-0.5
    later = torch.ones(scores.shape[1:], device='cuda', dtype=torch.bool).triu(1)
    return (scores.masked_fill(later, float('-inf')).softmax(2) @ v).transpose(0, 1)[None]


def exact_fixed(x, dO):
    return recurrence(x | dict(g=fixed_decays(SHORT.H)[:x['q'].shape[2]]), dO)[:-1]


def exact_delta(*kind):
    def by_tokens(x):
        return reference(Kind(*kind), **{name: x.get(name) for name in INPUTS}, scale=x['q'].shape[3]**-0.5)[0]

    return by_tokens


def exact_product(x):
    """Two rows a token: a query in the last, a decay in the first."""
    last = F.pad(x['q'].unsqueeze(2), (0, 0, 0, 0, 1, 0)).flatten(1, 2)
    first = F.pad(x['g'].unsqueeze(2), (0, 0, 0, 1)).flatten(1, 2)
    return exact_delta('scalar')(x | dict(q=last, g=first))[:, 1::2]


def exact_rwkv6(x):
    state, outputs = x['q'].new_zeros(*x['q'].shape[2:], x['v'].shape[3]), []
    for t in range(x['q'].shape[1]):
        q, k, v, g = (x[name][0, t] for name in 'qkvg')
        written = k[:, :, None] * v[:, None]
        outputs.append(q.shape[1]**-0.5 * torch.einsum('hkv,hk->hv', state + x['bonus'][:, :, None] * written, q))
        state = g.exp()[:, :, None] * state + written
    return torch.stack(outputs)[None]


EXACT = dict(delta_product=by_autograd(exact_product), comba=by_autograd(exact_delta('scalar', 'own')),
             rwkv7=by_autograd(exact_delta('diagonal', 'dplr')),
             rwkv6=by_autograd(exact_rwkv6), hgrn=by_autograd(exact_hgrn), conv=by_autograd(exact_conv), attention=by_autograd(exact_attention),
             fixed=exact_fixed)


def relative(found, exact):
    return ((found.double() - exact).norm() / exact.norm()).item()


def errors(name, shape, gates, library, with_peer):
    """A row: errors by output for ours and for the peer, where each is there."""
    op = PEER_OPS[name]
    x = gated(op.inputs(shape), gates)
    dO = adjoint_like(x)
    heads = slice(LONG_HEADS) if shape in LONG else slice(None)
    some = {leaf: y[:, :, heads] for leaf, y in x.items()} if shape in LONG else x
    exact = EXACT.get(name, recurrence)(some, dO[:, :, heads])
    labels = ['o', *('d' + leaf for leaf in x)]
    row = dict(op=name, **shape._asdict(), gates=gates if 'g' in x else None)
    for who, passes in (('ours', lambda: our_passes(name, library, x, dO)), ('peer', lambda: peer_passes(op, x, dO))):
        if who == 'peer' and not with_peer:
            continue
        try:
            found = None  # of the one before
            found = passes()[1]()
        except LookupError as error:
            row[who] = str(error)
            continue
        except Exception as error:  # what the peer cannot compile, or has no memory for
            row[who] = f'{type(error).__name__}: {str(error)[:100]}'
            continue
        row[who] = {label: relative(y[:, :, heads] if shape in LONG else y, z)
                    for label, y, z in zip(labels, found, exact)}
    return row


def cases(name):
    """(shape, gates), the long ones last."""
    if name == 'rwkv7':  # the peer is right for decays as that layer makes them
        return [(SHORT, None)]
    gates = GATES if name in ('simple_gla', 'gla', 'gated_delta', 'kda', 'delta_product', 'comba', 'rwkv6', 'hgrn') else GATES[1:]
    lengths = (SHORT,) if name in ('hgrn', 'conv', 'attention', 'delta_product', 'comba', 'rwkv6') else (SHORT, *LONG)
    return [(shape, pair) for shape in lengths for pair in (gates if shape is SHORT else gates[-1:])]
