#!/usr/bin/env python3
"""Times a training step of the Moby Dick example's model in plain PyTorch on the CPU: a peer for `train-step.ts`.

The same layers (GLA and Lightning in turn, SwiGLU, tied embeddings), sizes and AdamW, written with torch operators in
the chunkwise form; f32. Prints one JSON line. The recurrences are given every advantage: gates of a fresh model are
mild, so keys are divided by cumulative decays, which is fast and would overflow on strong gates.

    python3 torch_train_step.py --threads 1 --tokens 8192 --steps 8
"""
import argparse
import json
import os
import time

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--tokens", type=int, default=8192)
parser.add_argument("--steps", type=int, default=8)
parser.add_argument("--width", type=int, default=128)
parser.add_argument("--mlp", type=int, default=384)
parser.add_argument("--layers", type=int, default=4)
parser.add_argument("--heads", type=int, default=4)
parser.add_argument("--chunk", type=int, default=64)
options = parser.parse_args()
# Before torch loads it: this OpenBLAS may not know the CPU and would run SSE3 kernels.
os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)

import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(options.threads)
# Products of decays reach denormals, at over a hundred cycles each; longscan flushes them too.
torch.set_flush_denormal(True)
torch.manual_seed(0)
D, H, C = options.width, options.heads, options.chunk


class RMSNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


def chunkwise(q, k, v, g):
    """o [H, T, V] of S_t = exp(g_t) S_{t-1} + k_t v_t^T; q k [H, T, K], v [H, T, V], g [H, T, K] or [H, T, 1] log decay."""
    H, T, K = q.shape
    V, N = v.shape[-1], T // C
    q, k, v = (x.view(H, N, C, -1) for x in (q, k, v))
    c = g.view(H, N, C, -1).cumsum(2)
    last = c[:, :, -1:]
    inner = torch.tril((q * c.exp()) @ (k * (-c).exp()).transpose(-1, -2)) @ v
    added = (k * (last - c).exp()).transpose(-1, -2) @ v  # [H, N, K, V]
    decay = last.exp().squeeze(2).unsqueeze(-1)  # [H, N, K or 1, 1]
    state, states = torch.zeros(H, K, V), []
    for n in range(N):
        states.append(state)
        state = decay[:, n] * state + added[:, n]
    return (inner + (q * c.exp()) @ torch.stack(states, 1)).reshape(H, T, V) * K**-0.5


class GLA(nn.Module):
    def __init__(self):
        super().__init__()
        self.K, self.V = D // 2 // H, D // H
        self.q, self.k = (nn.Linear(D, H * self.K, bias=False) for _ in range(2))
        self.v, self.g = (nn.Linear(D, D, bias=False) for _ in range(2))
        self.down, self.up = nn.Linear(D, 16, bias=False), nn.Linear(16, H * self.K)
        self.norm, self.o = RMSNorm(self.V), nn.Linear(D, D, bias=False)

    def forward(self, x):
        heads = lambda y: y.view(len(x), H, -1).transpose(0, 1)
        gate = F.logsigmoid(self.up(self.down(x))) / 16
        o = chunkwise(heads(self.q(x)), heads(self.k(x)), heads(self.v(x)), heads(gate))
        return self.o(self.norm(o.transpose(0, 1)).reshape(len(x), D) * F.silu(self.g(x)))


class Lightning(nn.Module):
    def __init__(self, index):
        super().__init__()
        self.q, self.k, self.v, self.g, self.o = (nn.Linear(D, D, bias=False) for _ in range(5))
        self.norm = RMSNorm(D)
        self.decay = -8 / H * torch.arange(H) * (1 - index / options.layers)

    def forward(self, x):
        heads = lambda y: F.silu(y).view(len(x), H, -1).transpose(0, 1)
        # One cumulative decay of a whole chunk would overflow in 1/decay here, so decays are clamped; the work is the same.
        g = self.decay.clamp(min=-1).view(H, 1, 1).expand(H, len(x), 1)
        o = chunkwise(heads(self.q(x)), heads(self.k(x)), heads(self.v(x)), g)
        return self.o(self.norm(o.transpose(0, 1).reshape(len(x), D)) * torch.sigmoid(self.g(x)))


class Block(nn.Module):
    def __init__(self, index):
        super().__init__()
        self.mixer = Lightning(index) if index % 2 else GLA()
        self.norm1, self.norm2 = RMSNorm(D), RMSNorm(D)
        self.gate, self.up = (nn.Linear(D, options.mlp, bias=False) for _ in range(2))
        self.down = nn.Linear(options.mlp, D, bias=False)

    def forward(self, x):
        x = x + self.mixer(self.norm1(x))
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(256, D)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.blocks = nn.Sequential(*(Block(i) for i in range(options.layers)))
        self.norm = RMSNorm(D)

    def forward(self, tokens, labels):
        hidden = self.norm(self.blocks(self.embedding(tokens)))
        return F.cross_entropy(hidden @ self.embedding.weight.t(), labels)


model = Model()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, foreach=True)
tokens = torch.randint(0, 256, (options.tokens + 1,))
times = []
for _ in range(options.steps):
    start = time.perf_counter()
    optimizer.zero_grad()
    loss = model(tokens[:-1], tokens[1:])
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    times.append(1000 * (time.perf_counter() - start))
print(
    json.dumps(
        {
            "peer": f"torch {torch.__version__}",
            "threads": options.threads,
            "tokens": options.tokens,
            "parameters": sum(p.numel() for p in model.parameters()),
            "stepMs": times,
            "loss": loss.item(),
        }
    )
)
