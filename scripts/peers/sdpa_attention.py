"""Times the CUDA kernels of ops/attention beside PyTorch's scaled_dot_product_attention, causal, in one run.

usage: python3 sdpa_attention.py LIBRARY.so [--shape T,H,K ...] [--backends NAME ...] [--masks] [--errors]
Milliseconds: median (5th - 95th percentile) by CUDA events. PyTorch's default, named, and its flash and cuDNN backends.
`--masks`: longscan alone, documents of 2048 tokens and a window of 1024. `--errors`: of both against f64, and whether ours
are the same bits when run again.
"""

import argparse
import os
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention as sdpa

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cuda'))
from attention import Attention, reference
from kernel_calls import Library

BACKENDS = dict(default=None, flash=SDPBackend.FLASH_ATTENTION, cudnn=SDPBackend.CUDNN_ATTENTION)


def milliseconds(run, seconds):
    """Percentiles 5, 50 and 95 over as many runs as fit."""
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    times, total = [], 0.0
    while total < 1e3 * seconds or len(times) < 8:
        events = [torch.cuda.Event(enable_timing=True) for _ in range(9)]
        events[0].record()
        for event in events[1:]:
            run()
            event.record()
        torch.cuda.synchronize()
        now = [a.elapsed_time(b) for a, b in zip(events, events[1:])]
        times += now
        total += sum(now)
    return torch.tensor(times).quantile(torch.tensor([0.05, 0.5, 0.95])).tolist()


def show(label, times, flop):
    low, median, high = times
    print(f'{label:42} {median:8.3f} ({low:.3f} - {high:.3f}) {flop / median / 1e9:6.0f} TFLOP/s', flush=True)


def ours(attention, inputs, options, dO, seconds, label, flop):
    call = attention.call(inputs, options, dO.dtype, False)
    workspace = attention.library.workspace('longscanAttentionBackwardWorkspaceBytes', call)
    o, lse = attention.forward(inputs, options)

    def backward():
        attention.backward(inputs, options, o, lse, dO, workspace=workspace)

    def both():
        o, lse = attention.forward(inputs, options)
        attention.backward(inputs, options, o, lse, dO, workspace=workspace)

    show(f'{label} forward', milliseconds(lambda: attention.forward(inputs, options), seconds), flop)
    show(f'{label} backward', milliseconds(backward, seconds), 2.5 * flop)
    show(f'{label} both', milliseconds(both, seconds), 3.5 * flop)


def peer(name, leaves, dy, seconds, flop):
    chosen = SDPBackend(torch._fused_sdp_choice(*leaves, is_causal=True)).name
    backend, label = BACKENDS[name], f'sdpa {name}' + (f' ({chosen})' if name == 'default' else '')
    with sdpa_kernel(list(SDPBackend.__members__.values()) if backend is None else backend):
        with torch.no_grad():
            show(f'{label} forward', milliseconds(lambda: sdpa(*leaves, is_causal=True), seconds), flop)
        y = sdpa(*leaves, is_causal=True)
        show(f'{label} backward', milliseconds(lambda: torch.autograd.grad(y, leaves, dy, retain_graph=True), seconds),
             2.5 * flop)
        both = lambda: torch.autograd.grad(sdpa(*leaves, is_causal=True), leaves, dy)
        show(f'{label} both', milliseconds(both, seconds), 3.5 * flop)


def compare(attention, T, H, K, options):
    print(f'T {T} H {H} K {K}')
    q, k, v, dO = (torch.randn(1, T, H, K, device='cuda', dtype=torch.bfloat16) for _ in range(4))
    inputs = dict(q=q, k=k, v=v)
    flop = 2 * T * T * H * K  # of the forward pass: half of the pairs, two products
    ours(attention, inputs, {}, dO, options.seconds, 'longscan', flop)
    if options.masks:
        size, window = min(2048, T), min(1024, T)
        positions = (torch.arange(T, device='cuda', dtype=torch.int32) % size)[None].contiguous()
        ours(attention, inputs, dict(positions=positions), dO, options.seconds, f'longscan, documents of {size}',
             flop * size / T)
        ours(attention, inputs, dict(window=window), dO, options.seconds, f'longscan, window {window}',
             flop * (2 - window / T) * window / T)
    for name in options.backends:
        leaves = [x.transpose(1, 2).detach().requires_grad_() for x in (q, k, v)]
        peer(name, leaves, dO.transpose(1, 2), options.seconds, flop)


def errors(attention):
    for K in (64, 128):
        q, k, v, dO = (torch.randn(1, 2048, 4, K, device='cuda', dtype=torch.bfloat16) for _ in range(4))
        inputs = dict(q=q, k=k, v=v)
        exact = reference(inputs, {}, dO)

        def run():
            o, lse = attention.forward(inputs, {})
            return dict(o=o, **attention.backward(inputs, {}, o, lse, dO))

        shown = {'longscan': run()}
        print(f'K {K}: the same bits again:', all(torch.equal(x, shown['longscan'][n]) for n, x in run().items()))
        for name in ('flash', 'cudnn'):
            leaves = [x.transpose(1, 2).detach().requires_grad_() for x in (q, k, v)]
            with sdpa_kernel(BACKENDS[name]):
                y = sdpa(*leaves, is_causal=True)
                grads = torch.autograd.grad(y, leaves, dO.transpose(1, 2))
            shown[name] = dict(zip(('o', 'dq', 'dk', 'dv'), (x.transpose(1, 2) for x in (y, *grads))))
        for name, found in shown.items():
            relative = {n: ((x.double() - exact[n]).norm() / exact[n].norm()).item() for n, x in found.items()}
            print(f'K {K} {name:10}', ' '.join(f'{n} {e:.2e}' for n, e in relative.items()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('library')
    parser.add_argument('--shape', action='append')
    parser.add_argument('--backends', nargs='*', default=list(BACKENDS), choices=list(BACKENDS))
    parser.add_argument('--seconds', type=float, default=0.2)
    parser.add_argument('--masks', action='store_true')
    parser.add_argument('--errors', action='store_true')
    options = parser.parse_args()
    torch.manual_seed(0)
    print(torch.cuda.get_device_name(), 'PyTorch', torch.__version__, 'cuDNN', torch.backends.cudnn.version())
    attention = Attention(Library(options.library))
    if options.errors:
        errors(attention)
    for shape in options.shape or ('8192,16,128', '32768,16,128', '8192,16,64', '32768,16,64'):
        compare(attention, *map(int, shape.split(',')), options)


main()
