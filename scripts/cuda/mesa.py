"""The CUDA kernels of ops/mesa as Python functions, and what they compute as a loop over tokens in f64."""

import torch

from kernel_calls import ELEMENTS, address, structure

Call = structure('Call', i64='B T', i32='H K V type', pointer='q k v beta g lambda_ resets h0 workspace')
QueryGradient = structure('QueryGradient', pointer='x dO dq u dlambda adjoint')
KeyValueGradient = structure('KeyValueGradient', pointer='x u dO dht dk dv dbeta dg dh0')


class Mesa:
    """Calls of one shared library (kernel_calls.Library). `inputs`: q, k, v, beta, g, lambda."""

    def __init__(self, library):
        self.library = library

    def call(self, inputs, resets, h0, backward=False):
        B, T, H, K = inputs[0].shape
        V = inputs[2].shape[3]
        call = Call(B, T, H, K, V, ELEMENTS[inputs[0].dtype], *map(address, (*inputs, resets, h0, None)))
        name = 'longscanMesaBackwardWorkspaceBytes' if backward else 'longscanMesaWorkspaceBytes'
        workspace = self.library.workspace(name, call)
        call.workspace = address(workspace)
        return call, workspace

    def state(self, call):
        return self.library.empty((call.B, call.H, call.K + call.V, call.K))

    def solutions(self, call):
        return self.library.empty((call.B, call.T, call.H, (call.K + 7) // 8 * 8))

    def forward(self, inputs, resets=None, h0=None):
        """Returns o, the solutions and the last state."""
        call, _workspace = self.call(inputs, resets, h0)
        o, x, ht = self.library.empty(inputs[2].shape, inputs[2].dtype), self.solutions(call), self.state(call)
        self.library.run('longscanMesaForward', call, o, x, ht)
        return o, x, ht

    def query_gradient(self, inputs, x, dO, resets=None, h0=None, adjoint=False):
        """Returns dq, u, dlambda [B, H, K], and dL/dh0 through the outputs or None."""
        call, _workspace = self.call(inputs, resets, h0, True)
        dq, u = self.library.empty(inputs[0].shape, inputs[0].dtype), self.solutions(call)
        dlambda = self.library.empty((call.B, call.H, call.K))
        adjoint = self.state(call) if adjoint else None
        self.library.run('longscanMesaQueryGradient', call, QueryGradient(*map(address, (x, dO, dq, u, dlambda, adjoint))))
        return dq, u, dlambda, adjoint

    def key_value_gradient(self, inputs, x, u, dO, resets=None, h0=None, dht=None):
        """Returns dk, dv, dbeta, dg, dh0."""
        call, _workspace = self.call(inputs, resets, h0, True)
        found = [self.library.empty(y.shape, y.dtype) for y in inputs[1:5]] + [self.state(call)]
        io = KeyValueGradient(*map(address, (x, u, dO, dht, *found)))
        self.library.run('longscanMesaKeyValueGradient', call, io)
        return found

    def summarize(self, inputs, resets=None):
        """Returns E and M."""
        call, _workspace = self.call(inputs, resets, None)
        state, factor = self.state(call), self.library.empty((call.B, call.H))
        self.library.run('longscanMesaSummarize', call, state, factor)
        return state, factor


def reference(q, k, v, beta, g, lambda_, resets=None, h0=None):
    """The definition, token by token. Returns o [B, T, H, V] and the last state [B, H, K + V, K]."""
    B, T, H, K = q.shape
    both = torch.cat((k, v), -1)
    state = q.new_zeros(B, H, both.shape[3], K) if h0 is None else h0
    outputs = []
    for t in range(T):
        if resets is not None:
            state = torch.where(resets[:, t, None, None, None] != 0, torch.zeros_like(state), state)
        written = beta[:, t, :, None, None] * both[:, t, :, :, None] * k[:, t, :, None, :]
        state = g[:, t].exp()[..., None, None] * state + written
        x = torch.linalg.solve(state[:, :, :K] + torch.diag_embed(lambda_), q[:, t])
        outputs.append(torch.einsum('bhvk,bhk->bhv', state[:, :, K:], x))
    return torch.stack(outputs, 1), state
