"""The CUDA kernels of ops/lti-scan as Python functions, and what they compute as a loop over tokens in f64."""

import torch

from kernel_calls import ELEMENTS, address, structure

Call = structure('Call', i64='B T C', i32='N complex type', pointer='u log_lambda w resets workspace')
Forward = structure('Forward', pointer='h0 y states ht')
Backward = structure('Backward', pointer='dy states dht du d_log_lambda dw dh0')


class LtiScan:
    """Calls of one shared library (kernel_calls.Library)."""

    def __init__(self, library):
        self.library = library

    def call(self, u, log_lambda, w, resets):
        C, N, _ = w.shape
        B, T, width = u.shape
        call = Call(B, T, C, N, width == 2 * C, ELEMENTS[u.dtype], *map(address, (u, log_lambda, w, resets, None)))
        workspace = self.library.workspace('longscanLtiScanWorkspaceBytes', call)
        call.workspace = address(workspace)
        return call, workspace

    def state(self, call):
        return self.library.empty((call.B, call.C, call.N, 2))

    def forward(self, u, log_lambda, w, resets=None, h0=None):
        """Returns y, the last state, and the states that the backward pass needs."""
        call, _workspace = self.call(u, log_lambda, w, resets)
        y, ht = self.library.empty(u.shape, u.dtype), self.state(call)
        states = self.library.workspace('longscanLtiScanStatesBytes', call)
        self.library.run('longscanLtiScanForward', call, Forward(*map(address, (h0, y, states, ht))))
        return y, ht, states

    def backward(self, u, log_lambda, w, states, dy, resets=None, dht=None):
        """Returns du, dlog lambda, dw, dh0."""
        call, _workspace = self.call(u, log_lambda, w, resets)
        found = [self.library.empty(x.shape, x.dtype) for x in (u, log_lambda, w)] + [self.state(call)]
        self.library.run('longscanLtiScanBackward', call, Backward(*map(address, (dy, states, dht, *found))))
        return found

    def summarize(self, u, log_lambda, w, resets=None):
        """Returns E and M."""
        call, _workspace = self.call(u, log_lambda, w, resets)
        state, factor = self.state(call), self.state(call)
        self.library.run('longscanLtiScanSummarize', call, state, factor)
        return state, factor

    def adjoint(self, u, log_lambda, w, dy, resets=None):
        """Returns G."""
        call, _workspace = self.call(u, log_lambda, w, resets)
        adjoint = self.state(call)
        self.library.run('longscanLtiScanAdjoint', call, dy, adjoint)
        return adjoint


def reference(u, log_lambda, w, resets=None, h0=None):
    """The definition, token by token. Returns y and the last state [B, C, N, 2]."""
    C, N, _ = w.shape
    B, T, width = u.shape
    is_complex = width == 2 * C
    factor, weight = torch.view_as_complex(log_lambda).exp(), torch.view_as_complex(w)
    signal = torch.complex(u[..., :C], u[..., C:]) if is_complex else u
    state = torch.zeros(B, C, N, dtype=torch.complex128, device=u.device) if h0 is None else torch.view_as_complex(h0)
    outputs = []
    for t in range(T):
        if resets is not None:
            state = torch.where(resets[:, t, None, None] != 0, torch.zeros_like(state), state)
        state = factor * state + signal[:, t, :, None]
        y = (weight * state).sum(-1)
        outputs.append(torch.cat((y.real, y.imag), -1) if is_complex else y.real)
    return torch.stack(outputs, 1), torch.view_as_real(state)
