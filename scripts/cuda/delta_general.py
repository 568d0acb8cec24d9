"""The token-by-token CUDA kernels of ops/delta-rule as Python functions, and what they compute as a loop in f64."""

import ctypes

import torch
from kernel_calls import ELEMENTS, Library, address, pointer, i32, i64, structure

DECAYS = dict(none=0, scalar=1, diagonal=2)
ERASES = dict(key=0, own=1, dplr=2)
READS = dict(key=0, value=1)
MEMORY = dict(kept=0, forward=1, backward=2, summary=3, summary_backward=4)
INPUTS = ('q', 'k', 'v', 'beta', 'g', 'b', 'e')


class Call(ctypes.Structure):
    _fields_ = [('B', i64), ('T', i64), *((name, i32) for name in 'H K V type decay erase read'.split()),
                ('scale', ctypes.c_float), *((name, pointer) for name in (*INPUTS, 'resets'))]


Forward = structure('Forward', pointer='h0 o ht kept workspace')
Backward = structure('Backward', pointer='dO kept h0 dht dq dk dv dbeta dg db de dh0 workspace')
Summary = structure('Summary', pointer='state factor reset workspace')
SummaryBackward = structure('SummaryBackward', pointer='dO adjoint workspace')


class Kind:
    """gate, erase and read by name."""

    def __init__(self, gate='none', erase='key', read='key'):
        self.gate, self.erase, self.read = gate, erase, read

    def __str__(self):
        return f'{self.gate}, {self.erase}, by {self.read}'


class DeltaGeneral(Library):
    """Calls of one shared library. `inputs`: q, k, v, beta, g, b, e by name; [B, T, H, .], beta [B, T, H]."""

    def call(self, kind, inputs, resets, scale):
        B, T, H, K = inputs['k'].shape
        V = inputs['v'].shape[-1]
        return Call(B, T, H, K, V, ELEMENTS[inputs['k'].dtype], DECAYS[kind.gate], ERASES[kind.erase],
                    READS[kind.read], scale, *(address(inputs[name]) for name in INPUTS), address(resets))

    def memory(self, call, which):
        count = self.functions.longscanDeltaGeneralBytes
        count.restype = ctypes.c_size_t
        size = count(ctypes.byref(call), MEMORY[which])
        if size == 0:
            raise ValueError('this call is not supported')
        return self.empty((size + 3) // 4)

    def forward(self, kind, inputs, resets=None, h0=None, scale=1.0):
        """Returns o, ht and what is kept for `backward`."""
        call = self.call(kind, inputs, resets, scale)
        B, H, K, V = call.B, call.H, call.K, call.V
        o = self.empty((B, call.T, H, V if kind.read == 'key' else K), inputs['v'].dtype)
        ht, kept, workspace = self.empty((B, H, V, K)), self.memory(call, 'kept'), self.memory(call, 'forward')
        self.run('longscanDeltaGeneralForward', call, Forward(*map(address, (h0, o, ht, kept, workspace))))
        return o, ht, kept

    def backward(self, kind, inputs, kept, dO, resets=None, h0=None, dht=None, scale=1.0):
        """Gradients by name, dh0 among them."""
        call = self.call(kind, inputs, resets, scale)
        like = {name: None if x is None else self.empty(x.shape, x.dtype) for name, x in inputs.items()}
        dh0, workspace = self.empty((call.B, call.H, call.V, call.K)), self.memory(call, 'backward')
        io = Backward(*map(address, (dO, kept, h0, dht, *(like[name] for name in INPUTS), dh0, workspace)))
        self.run('longscanDeltaGeneralBackward', call, io)
        return {**{'d' + name: x for name, x in like.items() if x is not None}, 'dh0': dh0}

    def summarize(self, kind, inputs, resets=None):
        """Returns E, M^T and whether a document starts, by batch row."""
        call = self.call(kind, inputs, resets, 1.0)
        state, factor = self.empty((call.B, call.H, call.V, call.K)), self.empty((call.B, call.H, call.K, call.K))
        reset, workspace = self.empty((call.B,)), self.memory(call, 'summary')
        self.run('longscanDeltaGeneralSummarize', call, Summary(*map(address, (state, factor, reset, workspace))))
        return state, factor, reset

    def summarize_backward(self, kind, inputs, dO, resets=None, scale=1.0):
        call = self.call(kind, inputs, resets, scale)
        adjoint, workspace = self.empty((call.B, call.H, call.V, call.K)), self.memory(call, 'summary_backward')
        io = SummaryBackward(*map(address, (dO, adjoint, workspace)))
        self.run('longscanDeltaGeneralSummarizeBackward', call, io)
        return adjoint


def reference(kind, q, k, v, beta, g, b, e, resets=None, h0=None, scale=1.0, want_output=True):
    """The definition, token by token. Returns o [B, T, H, V] (or K) and the last state [B, H, V, K]."""
    B, T, H, K = k.shape
    state = k.new_zeros(B, H, v.shape[-1], K) if h0 is None else h0
    written = k if beta is None else k * beta[..., None]
    decay = None if g is None else g.exp().reshape(B, T, H, 1, -1)
    outputs = []
    for t in range(T):
        if resets is not None:
            state = torch.where(resets[:, t, None, None, None] != 0, torch.zeros_like(state), state)
        if kind.erase != 'key':
            x = (state @ b[:, t, :, :, None]).squeeze(-1)
        if decay is not None:
            state = state * decay[:, t]
        if kind.erase == 'key':
            x = (state @ k[:, t, :, :, None]).squeeze(-1)
        new = v[:, t] if kind.erase == 'dplr' else v[:, t] - x
        state = state + new[..., None] * written[:, t, :, None]
        if kind.erase == 'dplr':
            state = state + x[..., None] * e[:, t, :, None]
        if not want_output:
            continue
        if kind.read == 'key':
            outputs.append(scale * (state @ q[:, t, :, :, None]).squeeze(-1))
        else:
            outputs.append(scale * (state.mT @ q[:, t, :, :, None]).squeeze(-1))
    return torch.stack(outputs, 1) if want_output else None, state
