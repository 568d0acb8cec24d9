"""The chunkwise CUDA kernels of ops/delta-rule/dplr as Python functions. Inputs and the recurrence in f64: delta_general.py, of kinds
with one row a token that erase with keys of their own and are read by key."""

from delta_general import INPUTS
from kernel_calls import Library, address, structure

Call = structure('Call', i64='B T', i32='H K V has_gate_of_channels', f32='scale', pointer='q k v beta g b e resets')
Forward = structure('Forward', pointer='h0 o ht kept')
Backward = structure('Backward', pointer='dO kept dht dq dk dv dbeta dg db de dh0 workspace')


class Dplr(Library):
    """Calls of one shared library. `inputs`: q, k, v, beta, g, b, e by name; k, v, b, e [B, T, 1, H, .], beta [B, T, 1, H]."""

    def call(self, kind, inputs, resets, scale):
        B, T, n, H, K = inputs['k'].shape
        assert n == 1
        return Call(B, T, H, K, inputs['v'].shape[-1], kind.gate == 'diagonal', scale,
                    *(address(inputs[name]) for name in INPUTS), address(resets))

    def forward(self, kind, inputs, resets=None, h0=None, scale=1.0):
        """Returns o, ht and what is kept for `backward`."""
        call = self.call(kind, inputs, resets, scale)
        o = self.empty((call.B, call.T, call.H, call.V), inputs['v'].dtype)
        ht, kept = self.empty((call.B, call.H, call.V, call.K)), self.workspace('longscanDplrKeptBytes', call)
        self.run('longscanDplrForward', call, Forward(*map(address, (h0, o, ht, kept))))
        return o, ht, kept

    def backward(self, kind, inputs, kept, dO, resets=None, dht=None, scale=1.0):
        """Gradients by name, dh0 among them."""
        call = self.call(kind, inputs, resets, scale)
        like = {name: None if x is None else self.empty(x.shape, x.dtype) for name, x in inputs.items()}
        dh0, workspace = self.empty((call.B, call.H, call.V, call.K)), self.workspace('longscanDplrWorkspaceBytes', call)
        io = Backward(*map(address, (dO, kept, dht, *(like[name] for name in INPUTS), dh0, workspace)))
        self.run('longscanDplrBackward', call, io)
        return {**{'d' + name: x for name, x in like.items() if x is not None}, 'dh0': dh0}
