"""The CUDA kernels of ops/gated-linear as Python functions, and what they compute as a loop over tokens in f64."""

import ctypes

import torch

DECAYS = dict(identity=0, fixed=1, scalar=2, diagonal=3)
pointer, i32, i64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64


class Call(ctypes.Structure):
    _fields_ = [('B', i64), ('T', i64), ('H', i32), ('K', i32), ('V', i32), ('decay', i32), ('scale', ctypes.c_float),
                ('q', pointer), ('k', pointer), ('v', pointer), ('g', pointer), ('resets', pointer)]


class Forward(ctypes.Structure):
    _fields_ = [(name, pointer) for name in ('h0', 'o', 'ht', 'states', 'workspace')]


class Backward(ctypes.Structure):
    _fields_ = [('dO', pointer), ('states', pointer), ('from_zero', i32)] + [
        (name, pointer) for name in ('dht', 'dq', 'dk', 'dv', 'dg', 'dh0', 'workspace')]


class GatedLinear:
    """Calls of one shared library. Fresh memory is filled with NaN when `poison` is set."""

    def __init__(self, library, poison=False):
        self.library = ctypes.CDLL(library)
        for name in ('StatesBytes', 'WorkspaceBytes', 'BackwardWorkspaceBytes'):
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

    def _call(self, decay, q, k, v, g, resets, scale):
        B, T, H, K = q.shape
        address = lambda tensor: None if tensor is None else tensor.data_ptr()
        return Call(B, T, H, K, v.shape[3], DECAYS[decay], scale, *map(address, (q, k, v, g, resets)))

    def forward(self, decay, q, k, v, g, resets=None, h0=None, want_state=True, scale=None):
        """Returns o, ht (or None) and the states kept for `backward`."""
        B, T, H, K = q.shape
        V = v.shape[3]
        call = self._call(decay, q, k, v, g, resets, scale or K**-0.5)
        o = self._empty((B, T, H, V), torch.bfloat16)
        ht = self._empty((B, H, V, K), torch.float32) if want_state else None
        states = self._empty(self._bytes('StatesBytes', call) // 4, torch.float32)
        workspace = self._empty(self._bytes('WorkspaceBytes', call) // 4, torch.float32)
        address = lambda tensor: None if tensor is None else tensor.data_ptr()
        self._run('Forward', call, Forward(*map(address, (h0, o, ht, states, workspace))))
        return o, ht, states

    def backward(self, decay, q, k, v, g, states, dO, resets=None, h0=None, dht=None, scale=None):
        """Returns dq, dk, dv, dg (or None) and dh0 (or None)."""
        B, T, H, K = q.shape
        call = self._call(decay, q, k, v, g, resets, scale or K**-0.5)
        gradients = [self._empty(x.shape, torch.bfloat16) for x in (q, k, v)]
        gradients.append(self._empty(g.shape, torch.float32) if decay in ('scalar', 'diagonal') else None)
        gradients.append(None if h0 is None else self._empty(h0.shape, torch.float32))
        workspace = self._empty(self._bytes('BackwardWorkspaceBytes', call) // 4, torch.float32)
        address = lambda tensor: None if tensor is None else tensor.data_ptr()
        self._run('Backward', call, Backward(dO.data_ptr(), states.data_ptr(), h0 is None, address(dht),
                                             *map(address, gradients), workspace.data_ptr()))
        return gradients


def reference(decay, q, k, v, g, resets=None, h0=None, scale=None):
    """The definition, token by token. Returns o [B, T, H, V] and the last state [B, H, V, K]."""
    B, T, H, K = q.shape
    state = q.new_zeros(B, H, v.shape[3], K) if h0 is None else h0
    outputs = []
    for t in range(T):
        if resets is not None:
            state = torch.where(resets[:, t, None, None, None] != 0, torch.zeros_like(state), state)
        if decay == 'fixed':
            state = state * g.exp()[None, :, None, None]
        elif decay == 'scalar':
            state = state * g[:, t].exp()[..., None, None]
        elif decay == 'diagonal':
            state = state * g[:, t].exp()[:, :, None, :]
        state = state + v[:, t, :, :, None] * k[:, t, :, None, :]
        outputs.append((scale or K**-0.5) * torch.einsum('bhvk,bhk->bhv', state, q[:, t]))
    return torch.stack(outputs, 1), state
