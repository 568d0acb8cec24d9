"""Inputs of each op, and flash-linear-attention's or PyTorch's call on them."""

import functools
import importlib
from typing import Callable, NamedTuple

import torch
import torch.nn.functional as F

from shapes import GATED_DELTA_MODEL, GLA_MODEL, HEADS, SMALL


class PeerOp(NamedTuple):
    inputs: Callable  # Shape -> differentiable inputs by name, in our order
    function: str  # module:name
    call: Callable  # function, inputs by name -> output [1, T, H, V] or [1, T, D]
    heads: tuple  # (H, K, V) that are timed


def draw(*shape):
    return torch.randn(shape, device='cuda').bfloat16()


def heads(T, H, K, V):
    return dict(q=draw(1, T, H, K), k=draw(1, T, H, K), v=draw(1, T, H, V))


def unit_keys(T, H, K, V):
    """Queries and keys of length 1, as the layers of the delta rule make them; beta f32."""
    x = heads(T, H, K, V)
    x.update((name, F.normalize(x[name].float(), dim=-1).bfloat16()) for name in 'qk')
    return x | dict(beta=torch.rand(1, T, H, device='cuda'))


def log_decays(*shape):
    return F.logsigmoid(torch.randn(shape, device='cuda'))


def unit(*shape):
    return F.normalize(torch.randn(shape, device='cuda'), dim=-1).bfloat16()


def householder_rows(T, H, K, V):
    """Of Gated DeltaProduct with two steps a token: rows of keys, values and beta are twice as many."""
    return unit_keys(2 * T, H, K, V) | dict(q=unit(1, T, H, K), g=log_decays(1, T, H))


def rwkv7(T, H, K, V):
    """Decays as RWKV-7's layers make them, above e^-0.61; b reads the state, e is where that is written: -kappa and kappa * a."""
    x = heads(T, H, K, V)
    kappa = unit(1, T, H, K)
    return x | dict(g=-0.6065 * torch.rand(1, T, H, K, device='cuda'), b=-kappa, e=kappa * torch.rand_like(kappa))


@functools.lru_cache
def fixed_decays(H):
    """RetNet's: log(1 - 2^(-5 - h)) [H], f32."""
    return torch.log1p(-torch.exp2(-5 - 8 * torch.arange(H, device='cuda') / H))


def attention(function, x):
    return function(*(x[name].transpose(1, 2) for name in 'qkv'), is_causal=True).transpose(1, 2)


PEER_OPS = dict(
    linear=PeerOp(lambda s: heads(*s), 'fla.ops.linear_attn:chunk_linear_attn',
                  lambda f, x: f(x['q'], x['k'], x['v'], normalize=False)[0], (HEADS, SMALL)),
    fixed=PeerOp(lambda s: heads(*s), 'fla.ops.simple_gla:chunk_simple_gla',
                 lambda f, x: f(x['q'], x['k'], x['v'], g_gamma=fixed_decays(x['q'].shape[2]))[0], (HEADS,)),
    simple_gla=PeerOp(lambda s: heads(*s) | dict(g=log_decays(1, s.T, s.H)), 'fla.ops.simple_gla:chunk_simple_gla',
                      lambda f, x: f(x['q'], x['k'], x['v'], x['g'])[0], (HEADS, SMALL)),
    gla=PeerOp(lambda s: heads(*s) | dict(g=log_decays(1, s.T, s.H, s.K) / 16), 'fla.ops.gla:chunk_gla',
               lambda f, x: f(x['q'], x['k'], x['v'], x['g'])[0], (HEADS, SMALL, GLA_MODEL)),
    delta=PeerOp(lambda s: unit_keys(*s), 'fla.ops.delta_rule:chunk_delta_rule',
                 lambda f, x: f(x['q'], x['k'], x['v'], x['beta'])[0], (HEADS, SMALL)),
    gated_delta=PeerOp(lambda s: unit_keys(*s) | dict(g=log_decays(1, s.T, s.H)),
                       'fla.ops.gated_delta_rule:chunk_gated_delta_rule',
                       lambda f, x: f(x['q'], x['k'], x['v'], x['g'], x['beta'])[0],
                       (HEADS, SMALL, GATED_DELTA_MODEL)),
    kda=PeerOp(lambda s: unit_keys(*s) | dict(g=log_decays(1, s.T, s.H, s.K)), 'fla.ops.kda:chunk_kda',
               lambda f, x: f(x['q'], x['k'], x['v'], x['g'], x['beta'])[0], (HEADS, SMALL)),
    # Several steps a token, other erase keys, reads before writes.
    delta_product=PeerOp(lambda s: householder_rows(*s), 'fla.ops.gated_delta_product:chunk_gated_delta_product',
                         lambda f, x: f(x['q'], x['k'], x['v'], x['g'], x['beta'], num_householder=2)[0], (HEADS,)),
    comba=PeerOp(lambda s: unit_keys(*s) | dict(g=log_decays(1, s.T, s.H), b=unit(1, s.T, s.H, s.K)),
                 'fla.ops.comba:chunk_comba',
                 lambda f, x: f(x['q'], x['k'], x['v'], x['b'], x['g'], x['beta'])[0], (HEADS,)),
    rwkv7=PeerOp(lambda s: rwkv7(*s), 'fla.ops.rwkv7:chunk_rwkv7',
                 lambda f, x: f(x['q'], x['g'], x['k'], x['v'], x['b'], x['e'], scale=x['q'].shape[3]**-0.5,
                                safe_gate=True, chunk_size=64)[0], (HEADS, SMALL)),
    rwkv6=PeerOp(lambda s: heads(*s) | dict(g=log_decays(1, s.T, s.H, s.K), bonus=torch.randn(s.H, s.K, device='cuda')),
                 'fla.ops.rwkv6:chunk_rwkv6',
                 lambda f, x: f(x['q'], x['k'], x['v'], x['g'], x['bonus'])[0], (HEADS, SMALL)),
    attention=PeerOp(lambda s: heads(*s), 'torch.nn.functional:scaled_dot_product_attention', attention,
                     (HEADS, SMALL)),
    hgrn=PeerOp(lambda s: dict(x=draw(1, s.T, s.H * s.V), g=log_decays(1, s.T, s.H * s.V)),
                'fla.ops.hgrn:chunk_hgrn', lambda f, x: f(x['x'], x['g'])[0], (HEADS,)),
    conv=PeerOp(lambda s: dict(x=draw(1, s.T, s.H * s.V), weight=torch.randn(s.H * s.V, 4, device='cuda'),
                               bias=torch.randn(s.H * s.V, device='cuda')),
                'fla.modules.conv.causal_conv1d:causal_conv1d',
                lambda f, x: f(x['x'], x['weight'], x['bias'], activation='silu')[0], (HEADS,)),
)


def peer_passes(op, x, dO):
    """Forward alone, and forward and backward: the output and the gradient of each input."""
    module, name = op.function.split(':')
    function = getattr(importlib.import_module(module), name)
    leaves = {name: y.detach().requires_grad_() for name, y in x.items()}

    def both():
        o = op.call(function, leaves)
        return [o.detach(), *torch.autograd.grad(o, list(leaves.values()), dO)]

    return (lambda: op.call(function, leaves)), both


def adjoint_like(x):
    """dO for these inputs."""
    like = x.get('v', x.get('x'))
    return torch.randn((1, x['q'].shape[1], *like.shape[2:]), device='cuda').bfloat16() if 'q' in x else torch.randn_like(like)
