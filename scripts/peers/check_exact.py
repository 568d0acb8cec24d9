"""Holds exact.py, which works chunk by chunk, against the definition token by token.

usage: python3 check_exact.py [cpu|cuda]
"""

import sys

import torch

from exact import recurrence


def by_tokens(x, dO):
    leaves = {name: y.double().requires_grad_() for name, y in x.items()}
    q, k, v, g, beta = (leaves.get(name) for name in ('q', 'k', 'v', 'g', 'beta'))
    _, T, H, K = q.shape
    S, outputs = q.new_zeros(H, K, v.shape[3]), []
    for t in range(T):
        if g is not None:
            S = S * (g[:, None, None] if g.dim() == 1 else g[0, t].reshape(H, -1, 1)).exp()
        value = v[0, t]
        if beta is not None:
            value = beta[0, t, :, None] * (value - torch.einsum('hkv,hk->hv', S, k[0, t]))
        S = S + k[0, t][:, :, None] * value[:, None]
        outputs.append(K**-0.5 * torch.einsum('hkv,hk->hv', S, q[0, t]))
    o = torch.stack(outputs)[None]
    return [o.detach(), *torch.autograd.grad(o, list(leaves.values()), dO.double())]


def main():
    device = sys.argv[1] if len(sys.argv) > 1 else 'cuda'
    torch.manual_seed(0)
    draw = lambda *shape: torch.randn(shape, device=device, dtype=torch.float64)
    worst = 0
    for T, H, K, V in ((5, 1, 8, 8), (77, 2, 16, 24), (160, 3, 24, 8)):
        for gates in (None, (H,), (1, T, H), (1, T, H, K)):
            for with_beta in (False, True):
                k = draw(1, T, H, K)
                x = dict(q=draw(1, T, H, K), k=k / k.norm(dim=-1, keepdim=True), v=draw(1, T, H, V))
                if with_beta:
                    x['beta'] = draw(1, T, H).sigmoid()
                if gates is not None:
                    x['g'] = -20 * torch.rand(gates, device=device, dtype=torch.float64) ** 6
                dO = draw(1, T, H, V)
                for name, found, exact in zip(('o', *x), recurrence(x, dO), by_tokens(x, dO)):
                    assert found.shape == exact.shape, (name, found.shape, exact.shape)
                    error = ((found - exact).norm() / exact.norm().clamp(min=1e-30)).item()
                    if exact.norm() == 0:
                        error = found.norm().item()
                    worst = max(worst, error)
                    if not error < 1e-9:
                        print('FAIL', T, H, K, V, gates, with_beta, name, error)
    print(f'worst relative error {worst:.1e}')
    sys.exit(0 if worst < 1e-9 else 1)


main()
