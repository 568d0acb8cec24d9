"""The CUDA kernels of ops/mlstm as Python functions, and what they compute as a loop over tokens in f64."""

import ctypes

import torch

from kernel_calls import ELEMENTS, address, structure

Call = type('Call', (ctypes.Structure,), dict(_fields_=[
    ('B', ctypes.c_int64), ('T', ctypes.c_int64), *[(name, ctypes.c_int32) for name in ('H', 'K', 'V', 'type')],
    ('scale', ctypes.c_float),
    *[(name, ctypes.c_void_p) for name in ('q', 'k', 'v', 'i', 'f', 'resets', 'h0', 'workspace')]]))
Tokens = structure('Tokens', pointer='h normalizer m')
Gradients = structure('Gradients', pointer='dH dht dq dk dv di df dh0')


class Mlstm:
    """Calls of one shared library (kernel_calls.Library)."""

    def __init__(self, library):
        self.library = library

    def call(self, q, k, v, i, f, resets, h0, backward=False):
        B, T, H, K = q.shape
        V = v.shape[3]
        call = Call(B, T, H, K, V, ELEMENTS[q.dtype], K**-0.5, *map(address, (q, k, v, i, f, resets, h0, None)))
        name = 'longscanMlstmBackwardWorkspaceBytes' if backward else 'longscanMlstmWorkspaceBytes'
        workspace = self.library.workspace(name, call)
        call.workspace = address(workspace)
        return call, workspace

    def state(self, call):
        return self.library.empty((call.B, call.H, call.V + 1, call.K + 1))

    def forward(self, q, k, v, i, f, resets=None, h0=None):
        """Returns h, the last state, and what the backward pass needs."""
        call, _workspace = self.call(q, k, v, i, f, resets, h0)
        kept = [self.library.empty(v.shape, v.dtype), self.library.empty(i.shape), self.library.empty(i.shape)]
        ht = self.state(call)
        self.library.run('longscanMlstmForward', call, Tokens(*map(address, kept)), ht)
        return kept[0], ht, kept

    def backward(self, q, k, v, i, f, kept, dh, resets=None, h0=None, dht=None):
        """Returns dq, dk, dv, di, df, dh0."""
        call, _workspace = self.call(q, k, v, i, f, resets, h0, True)
        found = [self.library.empty(x.shape, x.dtype) for x in (q, k, v, i, f)] + [self.state(call)]
        io = Gradients(*map(address, (dh, dht, *found)))
        self.library.run('longscanMlstmBackward', call, Tokens(*map(address, kept)), io)
        return found

    def summarize(self, q, k, v, i, f, resets=None):
        """Returns E and the sum of the log forget gates."""
        call, _workspace = self.call(q, k, v, i, f, resets, None)
        state, factor = self.state(call), self.library.empty((call.B, call.H))
        self.library.run('longscanMlstmSummarize', call, state, factor)
        return state, factor

    def adjoint(self, q, k, v, i, f, kept, dh, resets=None, h0=None):
        """Returns G and its factor."""
        call, _workspace = self.call(q, k, v, i, f, resets, h0, True)
        adjoint, factor = self.state(call), self.library.empty((call.B, call.H))
        self.library.run('longscanMlstmAdjoint', call, Tokens(*map(address, kept)), dh, adjoint, factor)
        return adjoint, factor


def reference(q, k, v, i, f, resets=None, h0=None):
    """The definition, token by token and without a stabiliser, from the stored numbers `h0` [B, H, V + 1, K + 1]. Returns
    h, and the last state as it is stored; its m is a constant."""
    B, T, H, K = q.shape
    V = v.shape[3]
    values = torch.cat((v, torch.ones_like(v[..., :1])), -1)
    if h0 is None:
        state, m = q.new_zeros(B, H, V + 1, K), torch.full((B, H), -float('inf'), device=q.device, dtype=q.dtype)
    else:
        m = h0[:, :, 0, K].detach()
        state = h0[..., :K] * m.exp()[..., None, None]
    outputs = []
    for t in range(T):
        if resets is not None:
            fresh = resets[:, t, None] != 0
            state = torch.where(fresh[..., None, None], torch.zeros_like(state), state)
            m = torch.where(fresh, torch.full_like(m, -float('inf')), m)
        m = torch.maximum(f[:, t].detach() + m, i[:, t].detach())
        written = i[:, t].exp()[..., None, None] * values[:, t, :, :, None] * k[:, t, :, None, :]
        state = f[:, t].exp()[..., None, None] * state + written
        sums = K**-0.5 * torch.einsum('bhvk,bhk->bhv', state, q[:, t])
        outputs.append(sums[..., :V] / sums[..., V:].abs().clamp(min=1.0))
    last = torch.cat((state * (-m).exp()[..., None, None], m[..., None, None].expand(B, H, V + 1, 1)), -1)
    return torch.stack(outputs, 1), last
