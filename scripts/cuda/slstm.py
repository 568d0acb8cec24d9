"""The CUDA kernels of ops/slstm as Python functions, and what they compute as a loop over tokens in f64."""

import torch
import torch.nn.functional as F

from kernel_calls import ELEMENTS, address, structure

Call = structure('Call', i64='B T', i32='H N type', pointer='gates recurrent resets h0')
Forward = structure('Forward', pointer='h sums cells ht')
Backward = structure('Backward', pointer='sums cells dH dht dgates drecurrent dh0 workspace')


class Slstm:
    """Calls of one shared library (kernel_calls.Library)."""

    def __init__(self, library):
        self.library = library

    def call(self, gates, recurrent, resets, h0):
        B, T, H, _, N = gates.shape
        return Call(B, T, H, N, ELEMENTS[gates.dtype], *map(address, (gates, recurrent, resets, h0)))

    def forward(self, gates, recurrent, resets=None, h0=None):
        """Returns h, the last state, and what the backward pass needs."""
        call = self.call(gates, recurrent, resets, h0)
        B, T, H, _, N = gates.shape
        h, ht = self.library.empty((B, T, H, N), gates.dtype), self.library.empty((B, H, 4, N))
        kept = self.library.empty((B, T, H, 4, N)), self.library.empty((B, T, H, 3, N))
        self.library.run('longscanSlstmForward', call, Forward(*map(address, (h, *kept, ht))))
        return h, ht, kept

    def backward(self, gates, recurrent, kept, dh, resets=None, h0=None, dht=None):
        """Returns dgates, drecurrent for each batch row, dh0."""
        call = self.call(gates, recurrent, resets, h0)
        workspace = self.library.workspace('longscanSlstmBackwardWorkspaceBytes', call)
        found = [self.library.empty(gates.shape, gates.dtype), self.library.empty((call.B, *recurrent.shape)),
                 self.library.empty((call.B, call.H, 4, call.N))]
        self.library.run('longscanSlstmBackward', call, Backward(*map(address, (*kept, dh, dht, *found, workspace))))
        return found


def reference(gates, recurrent, resets=None, h0=None):
    """The definition, token by token, from the stored numbers `h0` [B, H, 4, N] (null: no token yet). Returns h, and the
    last state as it is stored; its m is a constant."""
    B, T, H, _, N = gates.shape
    zero = gates.new_zeros(B, H, N)
    c, n, m, h = (zero, zero, zero - float('inf'), zero) if h0 is None else h0.unbind(2)
    m = m.detach()
    outputs = []
    for t in range(T):
        if resets is not None:
            fresh = resets[:, t, None, None] != 0
            c, n, h = (torch.where(fresh, zero, x) for x in (c, n, h))
            m = torch.where(fresh, zero - float('inf'), m)
        i, f, z, o = (gates[:, t] + torch.einsum('bhx,hxgy->bhgy', h, recurrent)).unbind(2)
        keep = F.logsigmoid(f) + m
        m = torch.maximum(keep, i).detach()
        c, n = (keep - m).exp() * c + (i - m).exp() * z.tanh(), (keep - m).exp() * n + (i - m).exp()
        h = o.sigmoid() * c / n
        outputs.append(h)
    return torch.stack(outputs, 1), torch.stack((c, n, m, h), 2)
