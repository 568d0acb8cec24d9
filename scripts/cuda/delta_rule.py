"""The CUDA kernels of ops/delta-rule as Python functions, and what they compute as a loop over tokens in f64."""

import ctypes

import torch

GATES = dict(none=0, scalar=1, diagonal=2)
pointer, i32, i64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64


class Call(ctypes.Structure):
    _fields_ = [('B', i64), ('T', i64), ('H', i32), ('K', i32), ('V', i32), ('gate', i32), ('scale', ctypes.c_float)]
    _fields_ += [(name, pointer) for name in ('q', 'k', 'v', 'beta', 'g', 'b', 'resets')]


class Forward(ctypes.Structure):
    _fields_ = [(name, pointer) for name in ('h0', 'o', 'ht', 'kept')] + [('prepared', i32)]
    _fields_ += [(name, pointer) for name in ('segments', 'workspace')]


class Summary(ctypes.Structure):
    _fields_ = [(name, pointer) for name in ('kept', 'state', 'factor', 'reset', 'segments')]


class SummaryBackward(ctypes.Structure):
    _fields_ = [(name, pointer) for name in ('dO', 'kept', 'segments', 'adjoint', 'leaving')]


class Backward(ctypes.Structure):
    _fields_ = [(name, pointer) for name in ('dO', 'kept', 'segments', 'leaving', 'h0', 'dht', 'dq', 'dk', 'dv', 'dbeta', 'dg', 'db',
                                             'dh0', 'workspace')]


def address(tensor):
    return None if tensor is None else tensor.data_ptr()


class DeltaRule:
    """Calls of one shared library. Fresh memory is filled with NaN when `poison` is set. `b`: keys that erase of their own."""

    def __init__(self, library, poison=False):
        self.library = ctypes.CDLL(library)
        for name in ('KeptBytes', 'ForwardWorkspaceBytes', 'WorkspaceBytes', 'SegmentsBytes', 'SummaryBackwardBytes'):
            getattr(self.library, 'longscanDeltaRule' + name).restype = ctypes.c_size_t
        self.poison = poison

    def _empty(self, shape, dtype=torch.float32):
        fresh = torch.empty(shape, dtype=dtype, device='cuda')
        return fresh.fill_(float('nan')) if self.poison else fresh

    def _memory(self, name, call, optional=False):
        bytes_needed = getattr(self.library, 'longscanDeltaRule' + name)(ctypes.byref(call))
        if bytes_needed == 0 and optional:
            return None
        if bytes_needed == 0:
            raise ValueError('this call is not supported')
        return self._empty(bytes_needed // 4)

    def _run(self, name, call, io):
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        error = getattr(self.library, 'longscanDeltaRule' + name)(ctypes.byref(call), ctypes.byref(io), stream)
        if error != 0:
            raise RuntimeError(f'{name}: CUDA error {error}')

    @staticmethod
    def _call(gate, q, k, v, beta, g, resets, scale, b):
        B, T, H, K = q.shape
        return Call(B, T, H, K, v.shape[3], GATES[gate], scale or K**-0.5, *map(address, (q, k, v, beta, g, b, resets)))

    def forward(self, gate, q, k, v, beta, g, resets=None, h0=None, want_state=True, scale=None, prepared=None,
                segments=None, b=None):
        """Returns o, ht (or None) and what is kept for `backward`; `prepared`: of `prepare`, `segments` of `summarize`."""
        B, T, H, K = q.shape
        V = v.shape[3]
        call = self._call(gate, q, k, v, beta, g, resets, scale, b)
        o = self._empty((B, T, H, V), v.dtype)
        ht = self._empty((B, H, V, K)) if want_state else None
        kept = self._memory('KeptBytes', call) if prepared is None else prepared
        workspace = self._memory('ForwardWorkspaceBytes', call, optional=True)
        io = Forward(*map(address, (h0, o, ht, kept)), prepared is not None, *map(address, (segments, workspace)))
        self._run('Forward', call, io)
        return o, ht, kept

    def prepare(self, gate, q, k, v, beta, g, resets=None, scale=None, b=None):
        """Returns what of `kept` needs no state."""
        call = self._call(gate, q, k, v, beta, g, resets, scale, b)
        kept = self._memory('KeptBytes', call)
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        error = self.library.longscanDeltaRulePrepare(ctypes.byref(call), pointer(address(kept)), stream)
        if error != 0:
            raise RuntimeError(f'Prepare: CUDA error {error}')
        return kept

    def summarize(self, gate, q, k, v, beta, g, prepared, resets=None, scale=None, b=None):
        """Returns E [B, H, V, K], M^T [B, H, K, K], where documents start [B], and the segments."""
        B, T, H, K = q.shape
        call = self._call(gate, q, k, v, beta, g, resets, scale, b)
        results = [self._empty((B, H, v.shape[3], K)), self._empty((B, H, K, K)), self._empty((B,))]
        results.append(self._memory('SegmentsBytes', call))
        self._run('Summarize', call, Summary(*map(address, (prepared, *results))))
        return results

    def summarize_backward(self, gate, q, k, v, beta, g, kept, segments, dO, resets=None, scale=None, b=None):
        """Returns the adjoint [B, H, V, K] that leaves the slice through its own outputs, and that of segments."""
        B, T, H, K = q.shape
        call = self._call(gate, q, k, v, beta, g, resets, scale, b)
        adjoint, leaving = self._empty((B, H, v.shape[3], K)), self._memory('SummaryBackwardBytes', call)
        self._run('SummarizeBackward', call, SummaryBackward(*map(address, (dO, kept, segments, adjoint, leaving))))
        return adjoint, leaving

    def backward(self, gate, q, k, v, beta, g, kept, dO, resets=None, h0=None, dht=None, scale=None, segments=None,
                 leaving=None, b=None):
        """Returns dq, dk, dv, dbeta, dg and dh0, with `b` also db; None where there is nothing to derive by. `segments`: of `summarize`,
        `leaving`: of `summarize_backward`."""
        call = self._call(gate, q, k, v, beta, g, resets, scale, b)
        *gradients, dh0, db = [None if x is None else self._empty(x.shape, x.dtype) for x in (q, k, v, beta, g, h0, b)]
        workspace = self._memory('WorkspaceBytes', call)
        self._run('Backward', call, Backward(*map(address, (dO, kept, segments, leaving, h0, dht, *gradients, db, dh0, workspace))))
        return [*gradients, dh0] if b is None else [*gradients, dh0, db]


def reference(gate, q, k, v, beta, g, resets=None, h0=None, scale=None, b=None):
    """The definition, token by token. Returns o [B, T, H, V] and the last state [B, H, V, K]."""
    B, T, H, K = q.shape
    state = q.new_zeros(B, H, v.shape[3], K) if h0 is None else h0
    outputs = []
    for t in range(T):
        if resets is not None:
            state = torch.where(resets[:, t, None, None, None] != 0, torch.zeros_like(state), state)
        before = state
        if gate == 'scalar':
            state = state * g[:, t].exp()[..., None, None]
        if gate == 'diagonal':
            state = state * g[:, t].exp()[..., None, :]
        read = (state, k) if b is None else (before, b)
        error = v[:, t] - torch.einsum('bhvk,bhk->bhv', read[0], read[1][:, t])
        if beta is not None:
            error = error * beta[:, t, :, None]
        state = state + error[..., None] * k[:, t, :, None, :]
        outputs.append((scale or K**-0.5) * torch.einsum('bhvk,bhk->bhv', state, q[:, t]))
    return torch.stack(outputs, 1), state


def split_kind(kind):
    """Of a kind such as `scalar-own`: its gate, and whether keys of their own erase."""
    gate, _, own = kind.partition('-')
    return gate, own == 'own'


def erase_keys(k):
    """Of a part of the keys' length and direction, so that what is erased shrinks."""
    share = torch.empty(k.shape, device='cuda').uniform_(0.2, 1)
    return (k * share).bfloat16()
