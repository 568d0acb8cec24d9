"""Times the CUDA kernels of mlstm, lti-scan, mesa and slstm in one run with a copy of memory and, where it is on PYTHONPATH,
flash-linear-attention's chunkwise mesa_net; it has no kernels for the others.

usage: [PYTHONPATH=<flash-linear-attention checkout>] python3 class_kernels.py LIBRARY.so OUT.jsonl [op[:T],op[:T]] [--kernels]
B = 1, bf16, gates and states f32. Milliseconds: median, 5th and 95th percentile of replays of a CUDA graph, by CUDA events.
`--kernels`: each kernel's share of one call too.
"""

import importlib
import json
import os
import statistics
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cuda'))
from kernel_calls import Library  # noqa: E402
from lti_scan import LtiScan  # noqa: E402
from mesa import Mesa  # noqa: E402
from mlstm import Mlstm  # noqa: E402
from slstm import Slstm  # noqa: E402


def median_and_spread(run, most_ms=150):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    events = lambda: [torch.cuda.Event(enable_timing=True) for _ in range(2)]

    def replay(pair):
        pair[0].record()
        graph.replay()
        pair[1].record()
        return pair

    once = replay(events())
    torch.cuda.synchronize()
    count = max(8, min(30, int(most_ms / once[0].elapsed_time(once[1]))))
    pairs = [replay(events()) for _ in range(count)]
    torch.cuda.synchronize()
    times = [begin.elapsed_time(end) for begin, end in pairs[2:]]
    cuts = statistics.quantiles(times, n=20)
    return [round(x, 4) for x in (statistics.median(times), cuts[0], cuts[-1])]


def draw(*shape, scale=1.0):
    return (scale * torch.randn(shape, device='cuda')).bfloat16()


def mlstm_runs(library, T, H=16, K=128, V=128):
    mlstm = Mlstm(library)
    i, f = torch.randn(1, T, H, device='cuda'), F.logsigmoid(torch.randn(1, T, H, device='cuda') + 3)
    inputs = draw(1, T, H, K), draw(1, T, H, K), draw(1, T, H, V), i, f
    *_, kept = mlstm.forward(*inputs)
    dh = draw(1, T, H, V)
    yield 'forward', lambda: mlstm.forward(*inputs)
    yield 'backward', lambda: mlstm.backward(*inputs, kept, dh)
    yield 'summarize', lambda: mlstm.summarize(*inputs)
    yield 'adjoint', lambda: mlstm.adjoint(*inputs, kept, dh)


def lti_runs(library, T):
    scan = LtiScan(library)
    for kind, C, N in (('S4D', 2048, 32), ('S5', 2048, 1)):
        width = C if kind == 'S4D' else 2 * C
        turn = torch.rand(C, N, device='cuda') * 6 - 3
        log_lambda = torch.stack((-0.5 * torch.rand(C, N, device='cuda'), turn), -1).contiguous()
        inputs = draw(1, T, width), log_lambda, torch.randn(C, N, 2, device='cuda')
        *_, states = scan.forward(*inputs)
        dy = draw(1, T, width)
        yield f'{kind} forward', lambda: scan.forward(*inputs)
        yield f'{kind} backward', lambda: scan.backward(*inputs, states, dy)
        yield f'{kind} summarize', lambda: scan.summarize(*inputs)


def mesa_runs(library, T, H=16, K=128, V=128):
    mesa = Mesa(library)
    rows = lambda: F.normalize(torch.randn(1, T, H, K, device='cuda'), dim=-1).bfloat16()
    g = F.logsigmoid(torch.randn(1, T, H, device='cuda') + 3)
    inputs = rows(), rows(), draw(1, T, H, V), torch.rand(1, T, H, device='cuda'), g, torch.ones(H, K, device='cuda')
    o, x, _ = mesa.forward(inputs)
    dO = draw(1, T, H, V)
    _, u, *_ = mesa.query_gradient(inputs, x, dO)
    yield 'forward', lambda: mesa.forward(inputs)
    yield 'gradient of queries', lambda: mesa.query_gradient(inputs, x, dO)
    yield 'gradient of the rest', lambda: mesa.key_value_gradient(inputs, x, u, dO)
    if peer := found('fla.ops.mesa_net'):
        leaves = [y.detach().requires_grad_() for y in inputs]

        def run(q, k, v, beta, g, lambda_):
            return peer.chunk_mesa_net(q=q, k=k, v=v, beta=beta, g=g, lamb=lambda_, max_cg_step_training=30)[0]

        def both():
            return torch.autograd.grad(run(*leaves), leaves, dO)

        print('    peer, 30 steps: error of o', rms_error(run(*inputs), o), flush=True)
        yield 'peer forward', lambda: run(*inputs)
        yield 'peer both', both


def slstm_runs(library, T):
    slstm = Slstm(library)
    for N, H in ((64, 16), (128, 8), (256, 4)):
        gates, recurrent = draw(1, T, H, 4, N), torch.randn(H, N, 4, N, device='cuda') * N**-0.5
        *_, kept = slstm.forward(gates, recurrent)
        dh = draw(1, T, H, N)
        yield f'N{N} H{H} forward', lambda: slstm.forward(gates, recurrent)
        yield f'N{N} H{H} backward', lambda: slstm.backward(gates, recurrent, kept, dh)


RUNS = {'mlstm': mlstm_runs, 'lti-scan': lti_runs, 'mesa': mesa_runs, 'slstm': slstm_runs}
TOKENS = {'mlstm': (8192, 131072), 'lti-scan': (8192, 131072), 'mesa': (8192, 32768), 'slstm': (8192,)}


def found(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def rms_error(x, y):
    return ((x.double() - y.double()).norm() / y.double().norm()).item()


def show_kernels(run):
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run()
        torch.cuda.synchronize()
    for event in sorted(profile.key_averages(), key=lambda event: -event.self_device_time_total)[:8]:
        print(f'    {event.self_device_time_total / 1e3:9.3f} ms {event.count:4} x {event.key[:90]}', flush=True)


def main():
    arguments = [x for x in sys.argv[1:] if not x.startswith('--')]
    library, out = Library(arguments[0]), arguments[1]
    torch.manual_seed(0)
    wanted = arguments[2].split(',') if len(arguments) > 2 else list(RUNS)
    with open(out, 'a') as file:
        for op, _, tokens in (item.partition(':') for item in wanted):
            for T in [int(tokens)] if tokens else TOKENS[op]:
                for name, run in RUNS[op](library, T):
                    try:
                        times = median_and_spread(run)
                    except Exception as error:  # a peer that cannot be captured or compiled
                        print(f'{op} {T} {name}: {type(error).__name__} {str(error)[:200]}', flush=True)
                        continue
                    print(f'{op:6} T{T} {name:24} {times}', flush=True)
                    if '--kernels' in sys.argv:
                        show_kernels(run)
                    file.write(json.dumps(dict(op=op, T=T, name=name, ms=times)) + '\n')
                torch.cuda.empty_cache()


main()
