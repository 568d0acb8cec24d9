"""The CUDA kernels of ops/rms-norm, ops/gated-norm and ops/swiglu through their C interface, and their definitions."""

import torch

from kernel_calls import ELEMENTS, address, structure

NormCall = structure('NormCall', i64='rows cols', i32='type', f32='eps', pointer='weight')
NormForward = structure('NormForward', pointer='x branch stream y rstd')
NormBackward = structure('NormBackward', pointer='dy x rstd dStream dx y dWeight', i64='shares')
GatedCall = structure('GatedCall', i64='rows cols', i32='type isSilu', f32='eps', pointer='x gate weight')
GatedBackward = structure('GatedBackward', pointer='dy rstd dx dGate y dWeight', i64='shares')
SwigluCall = structure('SwigluCall', i64='count', i32='isBf16', pointer='gate up', i64_='columns')
SumRows = structure('SumRows', i64='rows cols', i32='isBf16 targetIsBf16 accumulate', pointer='x target workspace')


def num_shares(rows):
    """`numSumBlocks` of ops/sum-rows."""
    return min((rows + 15) // 16, 264)


def sum_rows(library, shares):
    """Of f32 [shares, cols]."""
    target = library.empty(shares.shape[1:])
    call = SumRows(*shares.shape, 0, 0, 0, address(shares), address(target))
    workspace = library.workspace('longscanSumRowsWorkspaceBytes', call)
    call.workspace = address(workspace)
    library.run('longscanSumRows', call)
    return target


class Norm:
    """x, branch and dy [rows, cols] in one type; weight [cols] in f32, None: an l2 norm. The caller keeps what calls name."""

    def __init__(self, library):
        self.library = library

    def forward(self, x, branch, weight, eps):
        """y, x + branch (None without a branch), rstd."""
        call = NormCall(*x.shape, ELEMENTS[x.dtype], eps, address(weight))
        empty = self.library.empty
        y, rstd = empty(x.shape, x.dtype), empty(x.shape[:1])
        stream = None if branch is None else empty(x.shape, x.dtype)
        io = NormForward(address(x), address(branch), address(stream), address(y), address(rstd))
        self.library.run('longscanRmsNormForward', call, io)
        return y, stream, rstd

    def backward(self, dy, x, weight, rstd, d_stream, shares=None, y=None):
        """dx and the weight's gradient; `shares`: parts that it is added up from; y, if given, is written once more."""
        call = NormCall(*x.shape, ELEMENTS[x.dtype], 0, address(weight))
        dx, parts = self.library.empty(x.shape, x.dtype), None
        if weight is not None:
            parts = self.library.empty((shares or num_shares(x.shape[0]), x.shape[1]))
        io = NormBackward(address(dy), address(x), address(rstd), address(d_stream), address(dx), address(y),
                          address(parts), 0 if parts is None else parts.shape[0])
        self.library.run('longscanRmsNormBackward', call, io)
        return dx, None if parts is None else sum_rows(self.library, parts)


class GatedNorm:
    """x, gate and dy [rows, cols] in one type; weight [cols] in f32."""

    def __init__(self, library, silu=True):
        self.library, self.silu = library, silu

    def call(self, x, gate, weight, eps):
        return GatedCall(*x.shape, ELEMENTS[x.dtype], self.silu, eps, address(x), address(gate), address(weight))

    def forward(self, x, gate, weight, eps):
        y, rstd = self.library.empty(x.shape, x.dtype), self.library.empty(x.shape[:1])
        self.library.run('longscanGatedNormForward', self.call(x, gate, weight, eps), y, rstd)
        return y, rstd

    def backward(self, dy, x, gate, weight, rstd, shares=None, y=None):
        dx, d_gate = self.library.empty(x.shape, x.dtype), self.library.empty(x.shape, x.dtype)
        parts = self.library.empty((shares or num_shares(x.shape[0]), x.shape[1]))
        io = GatedBackward(address(dy), address(rstd), address(dx), address(d_gate), address(y), address(parts),
                           parts.shape[0])
        self.library.run('longscanGatedNormBackward', self.call(x, gate, weight, 0), io)
        return dx, d_gate, sum_rows(self.library, parts)


class Swiglu:
    def __init__(self, library):
        self.library = library

    def call(self, gate, up):
        return SwigluCall(gate.numel(), gate.dtype == torch.bfloat16, address(gate), address(up), 0)

    def forward(self, gate, up):
        y = self.library.empty(gate.shape, gate.dtype)
        self.library.run('longscanSwigluForward', self.call(gate, up), y)
        return y

    def backward(self, dy, gate, up, y=None):
        d_gate, d_up = self.library.empty(gate.shape, gate.dtype), self.library.empty(gate.shape, gate.dtype)
        self.library.run('longscanSwigluBackward', self.call(gate, up), dy, d_gate, d_up, y)
        return d_gate, d_up


def norm_reference(x, weight, eps):
    if weight is None:
        return x * (x.square().sum(-1, keepdim=True) + eps).rsqrt()
    return x * (x.square().mean(-1, keepdim=True) + eps).rsqrt() * weight


def gated_norm_reference(x, gate, weight, eps, silu):
    return norm_reference(x, weight, eps) * (torch.nn.functional.silu(gate) if silu else gate.sigmoid())
