"""Times the CUDA kernels of ops/attention beside PyTorch's scaled_dot_product_attention, causal, in one run.

usage: python3 sdpa_attention.py LIBRARY.so [--shape T,H,K ...] [--forward] [--errors]
Milliseconds: median (5th - 95th percentile) by CUDA events. PyTorch's default, named, and its flash and cuDNN backends.
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
    print(f'{label:40} {median:8.3f} ({low:.3f} - {high:.3f}) {flop / median / 1e9:6.0f} TFLOP/s', flush=True)


def compare(attention, T, H, K, seconds, forward_only):
    print(f'T {T} H {H} K {K}')
    q, k, v, dO = (torch.randn(1, T, H, K, device='cuda', dtype=torch.bfloat16) for _ in range(4))
    flop = 2 * T * T * H * K  # of the forward pass: half of the pairs, two products
    inputs, options = dict(q=q, k=k, v=v), {}
    result = attention.forward(inputs, options)
    show('longscan forward', milliseconds(lambda: attention.forward(inputs, options), seconds), flop)
    if not forward_only:
        call = attention.call(inputs, options, q.dtype, False)
        workspace = attention.library.workspace('longscanAttentionBackwardWorkspaceBytes', call)

        def both():
            o, lse = attention.forward(inputs, options)
            attention.backward(inputs, options, o, lse, dO, workspace=workspace)

        show('longscan backward',
             milliseconds(lambda: attention.backward(inputs, options, *result, dO, workspace=workspace), seconds), 2.5 * flop)
        show('longscan both', milliseconds(both, seconds), 3.5 * flop)
    leaves = [x.transpose(1, 2).detach().requires_grad_() for x in (q, k, v)]
    chosen = SDPBackend(torch._fused_sdp_choice(*leaves, is_causal=True)).name
    for name, backend in BACKENDS.items():
        with sdpa_kernel(list(SDPBackend.__members__.values()) if backend is None else backend):
            label = f'sdpa {name}' + (f' ({chosen})' if backend is None else '')
            try:
                with torch.no_grad():
                    show(f'{label} forward', milliseconds(lambda: sdpa(*leaves, is_causal=True), seconds), flop)
                if not forward_only:
                    y, dy = sdpa(*leaves, is_causal=True), dO.transpose(1, 2)
                    backward = lambda: torch.autograd.grad(y, leaves, dy, retain_graph=True)
                    show(f'{label} backward', milliseconds(backward, seconds), 2.5 * flop)
                    both = lambda: torch.autograd.grad(sdpa(*leaves, is_causal=True), leaves, dy)
                    show(f'{label} both', milliseconds(both, seconds), 3.5 * flop)
            except RuntimeError as error:
                print(f'{label}: {error}')


def errors(attention, forward_only):
    """Both against f64 on the same inputs."""
    for K in (64, 128):
        q, k, v, dO = (torch.randn(1, 2048, 4, K, device='cuda', dtype=torch.bfloat16) for _ in range(4))
        exact = reference(dict(q=q, k=k, v=v), {}, dO)
        o, lse = attention.forward(dict(q=q, k=k, v=v), {})
        found = dict(o=o) if forward_only else dict(o=o, **attention.backward(dict(q=q, k=k, v=v), {}, o, lse, dO))
        shown = {'longscan': found}
        for name, backend in list(BACKENDS.items())[1:]:
            leaves = [x.transpose(1, 2).detach().requires_grad_() for x in (q, k, v)]
            with sdpa_kernel(backend):
                y = sdpa(*leaves, is_causal=True)
                grads = torch.autograd.grad(y, leaves, dO.transpose(1, 2))
            shown[name] = dict(zip(('o', 'dq', 'dk', 'dv'), (x.transpose(1, 2) for x in (y, *grads))))
        for name, x in shown.items():
            relative = {n: ((y.double() - exact[n]).norm() / exact[n].norm()).item() for n, y in x.items()}
            print(f'errors K {K} {name:10}', ' '.join(f'{n} {e:.2e}' for n, e in relative.items()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('library')
    parser.add_argument('--shape', action='append')
    parser.add_argument('--seconds', type=float, default=0.2)
    parser.add_argument('--forward', action='store_true')
    parser.add_argument('--errors', action='store_true')
    options = parser.parse_args()
    torch.manual_seed(0)
    print(torch.cuda.get_device_name(), 'PyTorch', torch.__version__, 'cuDNN', torch.backends.cudnn.version())
    attention = Attention(Library(options.library))
    if options.errors:
        errors(attention, options.forward)
    for shape in options.shape or ('8192,16,128', '32768,16,128', '8192,16,64', '32768,16,64'):
        compare(attention, *map(int, shape.split(',')), options.seconds, options.forward)


main()
