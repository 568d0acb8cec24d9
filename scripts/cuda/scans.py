"""The CUDA kernels of token-shift, causal-conv, vector-scan and selective-scan as Python functions, and what they compute
as loops over tokens in f64."""

import torch
import torch.nn.functional as F

from kernel_calls import ELEMENTS, address, structure

ShiftCall = structure('ShiftCall', i64='B T D', i32='type', pointer='resets')
ConvCall = structure('ConvCall', i64='B T D', i32='W type weightType silu headSize', f32='eps',
                     pointer='x halo weight bias resets rstd workspace')
ConvBackward = structure('ConvBackward', pointer='dy dx dHalo dWeight dBias')
VectorCall = structure('VectorCall', i64='B T C', i32='type gateType', pointer='g resets workspace')
VectorForward = structure('VectorForward', pointer='x h0 h ht')
VectorBackward = structure('VectorBackward', pointer='dh h h0 dht dx dg dh0')
SelectiveCall = structure('SelectiveCall', i64='B T D', i32='N type',
                          pointer='x delta A inB outC resets workspace')
SelectiveForward = structure('SelectiveForward', pointer='h0 y checkpoints ht')
SelectiveBackward = structure('SelectiveBackward', pointer='dy checkpoints dht dx dDelta dA dB dC dh0')


class TokenShift:
    def __init__(self, library):
        self.library = library

    def forward(self, x, halo, resets):
        y = self.library.empty(x.shape, x.dtype)
        self.library.run('longscanTokenShiftForward', ShiftCall(*x.shape, ELEMENTS[x.dtype], address(resets)), x, halo, y)
        return y

    def backward(self, dy, resets, with_halo):
        B, _, D = dy.shape
        dx = self.library.empty(dy.shape, dy.dtype)
        d_halo = self.library.empty((B, 1, D), dy.dtype) if with_halo else None
        call = ShiftCall(*dy.shape, ELEMENTS[dy.dtype], address(resets))
        self.library.run('longscanTokenShiftBackward', call, dy, dx, d_halo)
        return dx, d_halo


class CausalConv:
    def __init__(self, library):
        self.library = library

    def _call(self, x, halo, weight, bias, resets, silu, head_size, eps, rstd):
        call = ConvCall(*x.shape, weight.shape[1], ELEMENTS[x.dtype], ELEMENTS[weight.dtype], silu, head_size, eps,
                        *map(address, (x, halo, weight, bias, resets, rstd)))
        workspace = self.library.workspace('longscanCausalConvWorkspaceBytes', call)
        call.workspace = address(workspace)
        return call, workspace

    def forward(self, x, halo, weight, bias, resets, silu, head_size=0, eps=0):
        """`weight` [D, W]; y, and by what heads were scaled (None without)."""
        rstd = self.library.empty((*x.shape[:2], x.shape[2] // head_size)) if head_size else None
        call, _workspace = self._call(x, halo, weight, bias, resets, silu, head_size, eps, rstd)
        y = self.library.empty(x.shape, x.dtype)
        self.library.run('longscanCausalConvForward', call, y)
        return y, rstd

    def backward(self, x, halo, weight, bias, resets, silu, dy, head_size=0, rstd=None):
        """dx, dhalo (or None), dweight, dbias (or None)."""
        call, _workspace = self._call(x, halo, weight, bias, resets, silu, head_size, 0, rstd)
        dx, d_weight = self.library.empty(x.shape, x.dtype), self.library.empty(weight.shape, weight.dtype)
        d_halo = None if halo is None else self.library.empty(halo.shape, x.dtype)
        d_bias = None if bias is None else self.library.empty(bias.shape, bias.dtype)
        self.library.run('longscanCausalConvBackward', call, ConvBackward(*map(address, (dy, dx, d_halo, d_weight, d_bias))))
        return dx, d_halo, d_weight, d_bias


class VectorScan:
    def __init__(self, library):
        self.library = library

    def _call(self, x, g, resets):
        call = VectorCall(*g.shape, ELEMENTS[x.dtype], ELEMENTS[g.dtype], address(g), address(resets))
        workspace = self.library.workspace('longscanVectorScanWorkspaceBytes', call)
        call.workspace = address(workspace)
        return call, workspace

    def _state(self, g):
        return self.library.empty((g.shape[0], g.shape[2]))

    def forward(self, x, g, resets, h0):
        call, _workspace = self._call(x, g, resets)
        h, ht = self.library.empty(x.shape, x.dtype), self._state(g)
        self.library.run('longscanVectorScanForward', call, VectorForward(*map(address, (x, h0, h, ht))))
        return h, ht

    def backward(self, h, g, resets, h0, dh, dht):
        """dx, dg, dh0."""
        call, _workspace = self._call(h, g, resets)
        dx, dg, dh0 = self.library.empty(h.shape, h.dtype), self.library.empty(g.shape, g.dtype), self._state(g)
        io = VectorBackward(*map(address, (dh, h, h0, dht, dx, dg, dh0)))
        self.library.run('longscanVectorScanBackward', call, io)
        return dx, dg, dh0

    def summarize(self, x, g, resets):
        """E and M."""
        call, _workspace = self._call(x, g, resets)
        state, factor = self._state(g), self._state(g)
        self.library.run('longscanVectorScanSummarize', call, x, state, factor)
        return state, factor

    def adjoint(self, dh, g, resets):
        call, _workspace = self._call(dh, g, resets)
        adjoint = self._state(g)
        self.library.run('longscanVectorScanAdjoint', call, dh, adjoint)
        return adjoint


class SelectiveScan:
    """Inputs: x, delta [B, T, D]; A [D, N]; inB, outC [B, T, N]."""

    def __init__(self, library):
        self.library = library

    def _call(self, inputs, resets):
        x, delta, A, inB, outC = inputs
        call = SelectiveCall(*x.shape, A.shape[1], ELEMENTS[x.dtype], *map(address, (*inputs, resets)))
        workspace = self.library.workspace('longscanSelectiveScanWorkspaceBytes', call)
        call.workspace = address(workspace)
        return call, workspace

    def _state(self, inputs, *before):
        x, _, A, *_ = inputs
        return self.library.empty((x.shape[0], *before, *A.shape))

    def forward(self, inputs, resets, h0):
        """y, ht and the kept states."""
        x = inputs[0]
        call, _workspace = self._call(inputs, resets)
        y, ht = self.library.empty(x.shape, x.dtype), self._state(inputs)
        kept = self._state(inputs, -(-x.shape[1] // 64))
        self.library.run('longscanSelectiveScanForward', call, SelectiveForward(*map(address, (h0, y, kept, ht))))
        return y, ht, kept

    def backward(self, inputs, resets, kept, dy, dht):
        """dx, ddelta, dA, dinB, doutC, dh0."""
        call, _workspace = self._call(inputs, resets)
        found = [self.library.empty(x.shape, x.dtype) for x in inputs] + [self._state(inputs)]
        io = SelectiveBackward(*map(address, (dy, kept, dht, *found)))
        self.library.run('longscanSelectiveScanBackward', call, io)
        return found

    def summarize(self, inputs, resets):
        """E and the sum of delta."""
        call, _workspace = self._call(inputs, resets)
        state, total = self._state(inputs), self.library.empty(inputs[0].shape[::2])
        self.library.run('longscanSelectiveScanSummarize', call, state, total)
        return state, total

    def adjoint(self, inputs, resets, dy):
        call, _workspace = self._call(inputs, resets)
        adjoint = self._state(inputs)
        self.library.run('longscanSelectiveScanAdjoint', call, dy, adjoint)
        return adjoint


def documents(resets, B, T):
    """The number of each token's document."""
    return torch.zeros(B, T, device='cuda', dtype=torch.int64) if resets is None else resets.cumsum(1)


def token_shift_reference(x, halo, resets):
    before = x.new_zeros(x.shape[0], 1, x.shape[2]) if halo is None else halo
    y = torch.cat([before, x[:, :-1]], 1)
    return y if resets is None else torch.where(resets[..., None] != 0, torch.zeros_like(y), y)


def causal_conv_reference(x, halo, weight, bias, resets, silu, head_size=0, eps=0):
    (B, T, D), W = x.shape, weight.shape[1]
    before = x.new_zeros(B, W - 1, D) if halo is None else halo
    padded = torch.cat([before, x], 1)
    document = F.pad(documents(resets, B, T), (W - 1, 0))
    z = 0 if bias is None else bias
    for j in range(W):
        tokens = slice(W - 1 - j, W - 1 - j + T)
        same = (document[:, tokens] == document[:, W - 1:])[..., None]
        z = z + torch.where(same, padded[:, tokens], torch.zeros_like(x)) * weight[:, W - 1 - j]
    y = F.silu(z) if silu else z
    if not head_size:
        return y
    heads = y.reshape(B, T, D // head_size, head_size)
    return (heads * (heads.square().sum(-1, keepdim=True) + eps).rsqrt()).reshape(B, T, D)


def vector_scan_reference(x, g, resets, h0):
    """h [B, T, C] and the last one."""
    B, T, C = x.shape
    h, decays, outputs = x.new_zeros(B, C) if h0 is None else h0, g.exp(), []
    for t in range(T):
        if resets is not None:
            h = torch.where(resets[:, t, None] != 0, torch.zeros_like(h), h)
        h = decays[:, t] * h + x[:, t]
        outputs.append(h)
    return torch.stack(outputs, 1), h


def selective_scan_reference(x, delta, A, inB, outC, resets, h0):
    """y [B, T, D] and the last state [B, D, N]."""
    B, T, D = x.shape
    h, outputs = x.new_zeros(B, *A.shape) if h0 is None else h0, []
    for t in range(T):
        if resets is not None:
            h = torch.where(resets[:, t, None, None] != 0, torch.zeros_like(h), h)
        step = delta[:, t, :, None]
        h = torch.exp(step * A) * h + step * x[:, t, :, None] * inB[:, t, None, :]
        outputs.append(torch.einsum('bdn,bn->bd', h, outC[:, t]))
    return torch.stack(outputs, 1), h
