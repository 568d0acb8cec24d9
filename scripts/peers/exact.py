"""Gradients of the recurrences in f64, chunk by chunk on the GPU: a loop over tokens at T = 1M would take hours.

S_t = (I - beta_t k_t k_t^T) diag(a_t) S_{t-1} + beta_t k_t v_t^T for the delta rules, S_t = diag(a_t) S_{t-1} + k_t v_t^T
without beta; o_t = K^-0.5 S_t^T q_t. Chunks of 32 tokens, so that a quotient of decays, formed as exp(G_i) exp(-G_j),
stays within f64's range down to log decays of -20. `check_exact.py` holds this against a loop over tokens.
"""

import torch

CHUNK = 32


class StateScan(torch.autograd.Function):
    """S_{n+1} = M_n S_n + E_n from zero: M [N, K, K], or [N, K, 1] for a diagonal; E [N, K, V]. Returns S_n, n < N."""

    @staticmethod
    def forward(context, M, E):
        states = torch.zeros_like(E)
        for n in range(len(E) - 1):
            StateScan.step(M[n], states[n], E[n], states[n + 1])
        context.save_for_backward(M, states)
        return states

    @staticmethod
    def step(M, S, E, out):
        if M.shape[1] == 1 and M.shape[0] > 1:
            torch.addcmul(E, M, S, out=out)
        else:
            torch.addmm(E, M, S, out=out)

    @staticmethod
    def backward(context, dS):
        M, states = context.saved_tensors
        diagonal = M.shape[2] == 1 and M.shape[1] > 1
        dE = torch.zeros_like(dS)  # of S_{n+1}
        for n in range(len(dS) - 1, 0, -1):
            StateScan.step(M[n] if diagonal else M[n].T, dE[n], dS[n], dE[n - 1])
        dM = (dE * states).sum(2, keepdim=True) if diagonal else dE @ states.transpose(1, 2)
        return dM, dE


def chunked(x, N):
    return x.reshape(N, CHUNK, -1)


def head_output(q, k, v, g, beta):
    """One head: q, k [T, K], v [T, V], g [T, K] or [T, 1] or None, beta [T] or None -> o [T, V]."""
    T, K = q.shape
    N = -(-T // CHUNK)
    padded = [None if x is None else torch.nn.functional.pad(x.reshape(T, -1), (0, 0, 0, N * CHUNK - T))
              for x in (q, k, v, g, beta)]
    q, k, v, g, beta = (None if x is None else chunked(x, N) for x in padded)
    G = q.new_zeros(N, CHUNK, 1) if g is None else g.cumsum(1)
    read, written, last = q * G.exp(), k * (-G).exp(), G[:, -1:]
    at_end = (k * (last - G).exp()).transpose(1, 2)  # [N, K, C]
    decay = last.exp().transpose(1, 2).expand(N, K, 1)
    pairs = torch.tril(read @ written.transpose(1, 2))  # [N, C, C]
    if beta is None:
        S = StateScan.apply(decay.contiguous(), at_end @ v)
        o = pairs @ v + read @ S
    else:
        keys = k * G.exp()
        mixing = torch.tril(beta * (keys @ written.transpose(1, 2)), -1) + torch.eye(CHUNK, device=q.device).double()
        solved = torch.linalg.solve_triangular(mixing, beta * torch.cat([keys, v], 2), upper=False)
        W, U = solved.split([K, v.shape[2]], 2)
        S = StateScan.apply(torch.diag_embed(decay[:, :, 0]) - at_end @ W, at_end @ U)
        o = pairs @ (U - W @ S) + read @ S
    return K**-0.5 * o.reshape(N * CHUNK, -1)[:T]


def recurrence(x, dO):
    """o and the gradient of each of x: q, k [1, T, H, K], v [1, T, H, V], g [1, T, H(, K)] or [H], beta [1, T, H]; the last
    two may be missing. One head at a time, for memory's sake."""
    _, T, H, _ = dO.shape
    found = []
    for h in range(H):
        leaves = {name: (y[h:h + 1] if y.dim() == 1 else y[0, :, h]).double().requires_grad_() for name, y in x.items()}
        g = leaves.get('g')
        if g is not None:
            g = g.expand(T)[:, None] if g.shape == (1,) else g.reshape(T, -1)
        o = head_output(leaves['q'], leaves['k'], leaves['v'], g, leaves.get('beta'))
        found.append([o.detach(), *torch.autograd.grad(o, list(leaves.values()), dO[0, :, h].double())])
        del o, leaves, g
    return [torch.stack(parts, 1)[None] if parts[0].shape[0] == T else torch.cat(parts) for parts in zip(*found)]


def by_autograd(function):
    """The same for an op written in plain torch."""
    def run(x, dO):
        leaves = {name: y.double().requires_grad_() for name, y in x.items()}
        o = function(leaves)
        return [o.detach(), *torch.autograd.grad(o, list(leaves.values()), dO.double())]

    return run
