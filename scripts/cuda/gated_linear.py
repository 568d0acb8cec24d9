"""The CUDA kernels of ops/gated-linear as Python functions, and what they compute as a loop over tokens in f64."""

import ctypes

import torch

# On `values` the decay acts on the state's other axis: g [B, T, H, V], states [B, H, K, V].
DECAYS = dict(identity=0, fixed=1, scalar=2, diagonal=3, values=3)
pointer, i32, i64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64


def structure(name, *fields):
    return type(name, (ctypes.Structure,), dict(_fields_=list(fields)))


def pointers(*names):
    return [(name, pointer) for name in names]


Call = structure('Call', ('B', i64), ('T', i64), *[(name, i32) for name in ('H', 'G', 'K', 'V', 'decay', 'type', 'decay_on_values', 'joined')],
                 ('scale', ctypes.c_float), *pointers('q', 'k', 'v', 'g', 'bonus', 'resets', 'decayed'))
Forward = structure('Forward', *pointers('h0', 'o', 'ht', 'states', 'workspace'), ('prepared', i32))
Backward = structure('Backward', *pointers('dO', 'states'), ('from_zero', i32),
                     *pointers('dht', 'dq', 'dk', 'dv', 'dg', 'dbonus', 'dh0', 'workspace'), ('prepared', i32))
Summary = structure('Summary', *pointers('state', 'factor', 'reset', 'workspace'))
SummaryBackward = structure('SummaryBackward', *pointers('dO', 'adjoint', 'workspace'))


def address(tensor):
    return None if tensor is None else tensor.data_ptr()


class GatedLinear:
    """Calls of one shared library. Fresh memory is filled with NaN when `poison` is set."""

    def __init__(self, library, poison=False):
        self.library = ctypes.CDLL(library)
        for name in ('StatesBytes', 'DecayedBytes', 'WorkspaceBytes', 'BackwardWorkspaceBytes'):
            getattr(self.library, 'longscanGatedLinear' + name).restype = ctypes.c_size_t
        self.poison = poison

    def _bytes(self, name, call):
        return getattr(self.library, 'longscanGatedLinear' + name)(ctypes.byref(call))

    def _empty(self, shape, dtype):
        fresh = torch.empty(shape, dtype=dtype, device='cuda')
        return fresh.fill_(float('nan')) if self.poison else fresh

    def _run(self, name, call, io):
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        error = getattr(self.library, 'longscanGatedLinear' + name)(ctypes.byref(call), ctypes.byref(io), stream)
        if error != 0:
            raise RuntimeError(f'{name}: CUDA error {error}')

    def _call(self, decay, q, k, v, g, resets=None, scale=None, bonus=None, joined=False):
        B, T, G, K = q.shape
        H, V = v.shape[2:]
        kind = dict([(torch.bfloat16, 0), (torch.float32, 1)])[q.dtype]
        return Call(B, T, H, G, K, V, DECAYS[decay], kind, decay == 'values', joined, scale or K**-0.5, *map(address, (q, k, v, g, bonus, resets)))

    def _state(self, call):
        sizes = (call.K, call.V) if call.decay_on_values else (call.V, call.K)
        return self._empty((call.B, call.H, *sizes), torch.float32)

    def _memory(self, name, call):
        return self._empty(self._bytes(name, call) // 4, torch.float32)

    def _decayed(self, call):
        """Room for what decays make of the inputs, given to the call, or None."""
        decayed = self._memory('DecayedBytes', call) if self._bytes('DecayedBytes', call) > 0 else None
        call.decayed = address(decayed)
        return decayed

    def forward(self, decay, q, k, v, g, resets=None, h0=None, want_state=True, scale=None, bonus=None, summarized=None):
        """Returns o, ht (or None) and what is kept for `backward`. `summarized`: of `summarize`, or None."""
        call = self._call(decay, q, k, v, g, resets, scale, bonus)
        o = self._empty(v.shape, v.dtype)
        ht = self._state(call) if want_state else None
        states = self._memory('StatesBytes', call)
        memory, decayed = summarized or (None, self._decayed(call))
        call.decayed = address(decayed)
        if summarized is None:
            memory = self._memory('WorkspaceBytes', call)
        self._run('Forward', call, Forward(*map(address, (h0, o, ht, states, memory)), summarized is not None))
        return o, ht, (states, decayed)

    def backward(self, decay, q, k, v, g, kept, dO, resets=None, h0=None, dht=None, scale=None, bonus=None,
                 workspace=None):
        """Returns dq, dk (each head's share), dv, dg (or None), dh0 (or None), and with a bonus its gradient."""
        call = self._call(decay, q, k, v, g, resets, scale, bonus)
        states, decayed = kept
        call.decayed = address(decayed)
        gradients = [self._empty((*v.shape[:3], call.K), q.dtype) for _ in range(2)] + [self._empty(v.shape, v.dtype)]
        gradients.append(self._empty(g.shape, torch.float32) if decay in ('scalar', 'diagonal', 'values') else None)
        dbonus = None if bonus is None else self._empty((call.B, call.H, call.K), torch.float32)
        dh0 = None if h0 is None else self._state(call)
        memory = self._memory('BackwardWorkspaceBytes', call) if workspace is None else workspace
        self._run('Backward', call, Backward(address(dO), address(states), h0 is None, address(dht),
                                             *map(address, (*gradients, dbonus, dh0, memory)), workspace is not None))
        return gradients + [dh0] + ([] if bonus is None else [dbonus])

    def summarize(self, decay, q, k, v, g, resets=None, bonus=None, keep=True):
        """Returns E, M (None where it is 1), the reset bits, and the workspace for `forward` with, to `keep` it for `backward`, what
        decays make of the inputs."""
        call = self._call(decay, q, k, v, g, resets, bonus=bonus)
        decayed = self._decayed(call) if keep else None
        state = self._state(call)
        channels = dict(diagonal=call.K, values=call.V)
        shape = None if decay == 'identity' else (call.B, call.H, *([channels[decay]] if decay in channels else []))
        factor = None if shape is None else self._empty(shape, torch.float32)
        reset = self._empty((call.B,), torch.float32)
        memory = self._memory('WorkspaceBytes', call)
        self._run('Summarize', call, Summary(*map(address, (state, factor, reset, memory))))
        return state, factor, reset, (memory, decayed)

    def summarize_backward(self, decay, q, k, v, g, kept, dO, resets=None, bonus=None):
        """Returns G and the workspace for `backward`."""
        call = self._call(decay, q, k, v, g, resets, bonus=bonus)
        call.decayed = address(kept[1])
        adjoint = self._state(call)
        memory = self._memory('BackwardWorkspaceBytes', call)
        self._run('SummarizeBackward', call, SummaryBackward(*map(address, (dO, adjoint, memory))))
        return adjoint, memory


def reference(decay, q, k, v, g, resets=None, h0=None, scale=None, bonus=None):
    """The definition, token by token. Returns o [B, T, H, V] and the last state."""
    B, T, G, K = q.shape
    H, V = v.shape[2:]
    q, k = (x.repeat_interleave(H // G, 2) for x in (q, k))
    on_values = decay == 'values'
    state = q.new_zeros(B, H, *((K, V) if on_values else (V, K))) if h0 is None else h0
    outputs = []
    for t in range(T):
        if resets is not None:
            state = torch.where(resets[:, t, None, None, None] != 0, torch.zeros_like(state), state)
        written = k[:, t, :, :, None] * v[:, t, :, None, :] if on_values else v[:, t, :, :, None] * k[:, t, :, None, :]
        read = None if bonus is None else state + written * bonus[None, :, None, :]
        if decay == 'fixed':
            state = state * g.exp()[None, :, None, None]
        elif decay == 'scalar':
            state = state * g[:, t].exp()[..., None, None]
        elif decay in ('diagonal', 'values'):
            state = state * g[:, t].exp()[:, :, None, :]
        state = state + written
        outputs.append((scale or K**-0.5) * torch.einsum('bhkv,bhk->bhv' if on_values else 'bhvk,bhk->bhv', state if read is None else read, q[:, t]))
    return torch.stack(outputs, 1), state
