"""The CUDA kernels of ops/attention as Python functions, and what they compute as a whole matrix of scores in f64."""

import ctypes

import torch

from kernel_calls import ELEMENTS, address, i32, i64, pointer

POINTERS = ('positions', 'after', 'q', 'k', 'v', 'kSelf', 'vSelf')


class Call(ctypes.Structure):
    _fields_ = [*[(name, i64) for name in ('B', 'T', 'S')], *[(name, i32) for name in ('H', 'G', 'K', 'V')],
                *[(name, i64) for name in ('keyOffset', 'window', 'chunk')], ('type', i32), ('resultType', i32),
                *[(name, pointer) for name in POINTERS], ('scale', ctypes.c_float), ('accumulate', i32)]


class Forward(ctypes.Structure):
    _fields_ = [(name, pointer) for name in ('o', 'lse')]


class Backward(ctypes.Structure):
    _fields_ = [*[(name, pointer) for name in ('o', 'lse', 'dO')], ('oType', i32),
                *[(name, pointer) for name in ('dq', 'dk', 'dv', 'dkSelf', 'dvSelf', 'workspace')]]


class Attention:
    """Inputs by name in a dictionary: q, k, v, perhaps kSelf, vSelf; options: keyOffset, window, chunk, positions, after,
    scale. `result_type`: of o and of gradients, that of q if not given."""

    def __init__(self, library):
        self.library = library

    def call(self, inputs, options, result_type, accumulate):
        q, k, v = inputs['q'], inputs['k'], inputs['v']
        (B, T, H, K), (_, S, G, V) = q.shape, v.shape
        given = {**inputs, **options}
        numbers = {name: options.get(name) or 0 for name in ('keyOffset', 'window', 'chunk')}
        return Call(B=B, T=T, S=S, H=H, G=G, K=K, V=V, **numbers, type=ELEMENTS[q.dtype],
                    resultType=ELEMENTS[result_type], scale=options.get('scale') or K**-0.5, accumulate=int(accumulate),
                    **{name: address(given.get(name)) for name in POINTERS})

    def forward(self, inputs, options, result_type=None, result=None):
        """o, lse; `result`: of other keys, changed in place."""
        q, v = inputs['q'], inputs['v']
        result_type = result_type or q.dtype
        o, lse = result or (self.library.empty((*q.shape[:3], v.shape[3]), result_type), self.library.empty(q.shape[:3]))
        call = self.call(inputs, options, result_type, result is not None)
        self.library.run('longscanAttentionForward', call, Forward(*map(address, (o, lse))))
        return o, lse

    def backward(self, inputs, options, o, lse, dO, gradients=None, workspace=None):
        """Gradients by name, of o's type; `gradients`: of other keys, added to."""
        call = self.call(inputs, options, o.dtype, gradients is not None)
        if gradients is None:
            gradients = {'d' + name: self.library.empty(x.shape, o.dtype) for name, x in inputs.items()}
        if workspace is None:
            workspace = self.library.workspace('longscanAttentionBackwardWorkspaceBytes', call)
        names = [name for name, _ in Backward._fields_[4:-1]]
        found = [address(gradients.get(name)) for name in names]
        io = Backward(*map(address, (o, lse, dO)), ELEMENTS[o.dtype], *found, address(workspace))
        self.library.run('longscanAttentionBackward', call, io)
        return gradients


def visible(B, T, S, keyOffset=0, window=0, chunk=0, positions=None, after=None, **_):
    """[B, T, S]: which keys a query sees."""
    index = keyOffset + torch.arange(T, device='cuda')[None, :, None]
    position = (index if positions is None else positions.long()[..., None]).expand(B, T, 1)
    if chunk:
        token = torch.arange(keyOffset + T, device='cuda')[None, None, :]
        place = position - (index - token)
        ends = (token <= index) & (place >= 0) & (place % chunk == chunk - 1) & (place // chunk < position // chunk)
        seen = torch.zeros(B, T, S, device='cuda')
        slots = (token // chunk).expand(B, T, -1)
        return seen.scatter_add_(2, slots, ends.float()) > 0
    back = index - torch.arange(S, device='cuda')[None, None, :]
    near = (back.abs() < window) if window else torch.ones_like(back, dtype=torch.bool)
    ahead = (back < 0) & (-back <= (0 if after is None else after.long()[..., None]))
    return ((back >= 0) & (back <= position) | ahead) & near


def reference(inputs, options, dO):
    """o, lse and the gradients by name, in f64."""
    exact = {name: x.double() for name, x in inputs.items()}
    (B, T, H, K), (_, S, G, V) = exact['q'].shape, exact['v'].shape
    scale = options.get('scale') or K**-0.5
    per_group = lambda x: None if x is None else x.repeat_interleave(H // G, 2)
    q, dO = exact['q'], dO.double()
    k, v, own_k, own_v = (per_group(exact.get(name)) for name in ('k', 'v', 'kSelf', 'vSelf'))
    seen = visible(B, T, S, **options)[:, None]
    scores = torch.einsum('bthk,bshk->bhts', q, k) * scale
    scores = scores.masked_fill(~seen, float('-inf'))
    if own_k is not None:
        scores = torch.cat([scores, scale * torch.einsum('bthk,bthk->bht', q, own_k)[..., None]], -1)
    lse = scores.logsumexp(-1, keepdim=True)
    weights = (scores - lse.masked_fill(lse.isinf(), 0)).exp()
    o = torch.einsum('bhts,bshv->bthv', weights[..., :S], v)
    if own_k is not None:
        o = o + weights[..., S].transpose(1, 2)[..., None] * own_v
    changes = torch.einsum('bthv,bshv->bhts', dO, v)
    if own_k is not None:
        changes = torch.cat([changes, torch.einsum('bthv,bthv->bht', dO, own_v)[..., None]], -1)
    ds = weights * (changes - (dO * o).sum(-1).transpose(1, 2)[..., None])
    over_group = lambda x: x.unflatten(2, (G, H // G)).sum(3)
    found = dict(o=o, lse=lse[..., 0].transpose(1, 2),
                 dq=scale * torch.einsum('bhts,bshk->bthk', ds[..., :S], k),
                 dk=over_group(scale * torch.einsum('bhts,bthk->bshk', ds[..., :S], q)),
                 dv=over_group(torch.einsum('bhts,bthv->bshv', weights[..., :S], dO)))
    if own_k is not None:
        own_ds, own_weight = (x[..., S].transpose(1, 2)[..., None] for x in (ds, weights))
        found['dq'] = found['dq'] + scale * own_ds * own_k
        found['dkSelf'] = over_group(scale * own_ds * q)
        found['dvSelf'] = over_group(own_weight * dO)
    return found


def positions_of(B, T, starts, keyOffset=0):
    """Tokens of its document before each query, documents starting at the tokens `starts`, one later in each batch row."""
    if starts is None:
        return None
    positions = torch.empty(B, T, dtype=torch.int32)
    for b in range(B):
        begin, t0 = 0, keyOffset
        all_starts = {start + b for start in starts}
        for t in range(keyOffset + T):
            begin = t if t in all_starts else begin
            if t >= t0:
                positions[b, t - t0] = t - begin
    return positions.cuda()


def after_of(positions, T, B):
    """Tokens of its document after each query."""
    positions = torch.arange(T).expand(B, T) if positions is None else positions.cpu()
    after = torch.zeros(B, T, dtype=torch.int32)
    for t in range(T - 2, -1, -1):
        after[:, t] = torch.where(positions[:, t + 1] == 0, 0, after[:, t + 1] + 1)
    return after.cuda()
