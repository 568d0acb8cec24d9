"""Compiles flash-linear-attention's Triton kernels and chooses among them, before they are timed.

usage: PYTHONPATH=<flash-linear-attention checkout> TRITON_CACHE_DIR=DIR python3 peer_kernels.py SECONDS [op,op]

The peer tries up to 48 configurations of each of its kernels, and compiling them takes minutes. Here each op and head size
has a process of its own, all side by side, and compiles several configurations at a time. Each then runs for about 10 ms
and is judged by its shortest run, on which the other processes have no part, since they take turns on the GPU; Triton's
own measure is the median of 100 ms with nothing else running. What is not done after SECONDS is named and left.
Results stay in TRITON_CACHE_DIR, and are used where TRITON_CACHE_AUTOTUNING=1. Some of the peer's kernels are tuned once
and then used for every head size, so each size has a cache of its own (`cache_of`), and the peer runs with what is best
for it. Triton's keys hold no path: the cache serves another checkout.
"""

import base64
import concurrent.futures
import gc
import importlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time

from shapes import HEADS, Shape

TUNED_LENGTH = 32768


def present():
    return importlib.util.find_spec('fla') is not None


def lift_check():
    """The peer refuses gated backward passes on Hopper with Triton 3.4 to 3.7.0, which computes some of them wrongly.
    Lets them run; returns whether they would have been refused."""
    module = importlib.import_module('fla.ops.common.chunk_o')
    refused = module.IS_NVIDIA_HOPPER and module.TRITON_ABOVE_3_4_0 and not module.TRITON_ABOVE_3_7_1
    module.TRITON_ABOVE_3_7_1 = True
    return refused


def root():
    return (os.environ.get('PEER_CACHE_ROOT') or os.environ.get('TRITON_CACHE_DIR')
            or os.path.expanduser('~/.triton/cache'))


def cache_of(heads):
    return root() if heads == HEADS else os.path.join(root(), 'heads-' + '-'.join(map(str, heads)))


def marker(name, heads):
    """A file that is there once the op is ready; it lists the folders of the kernels that the op runs."""
    return os.path.join(cache_of(heads), 'ready-' + name)


def use_cache_of(heads):
    """From now on in this process; what was chosen for other head sizes is forgotten."""
    from triton.runtime.autotuner import Autotuner

    os.environ.update(PEER_CACHE_ROOT=root(), TRITON_CACHE_DIR=cache_of(heads))
    for object in gc.get_objects():
        if issubclass(type(object), Autotuner):  # isinstance would open modules that load when they are looked at
            object.cache.clear()


def compile_side_by_side(workers=6):
    """Has Triton compile all configurations of a kernel at once, before it measures one after the other."""
    from triton.runtime import _async_compile, autotuner

    pool, run = concurrent.futures.ThreadPoolExecutor(workers), autotuner.Autotuner.run

    def compile_first(self, *args, **kwargs):
        self.nargs = dict(zip(self.arg_names, args))
        configs = self.prune_configs(kwargs)
        if len(configs) > 1:
            with _async_compile.AsyncCompileMode(pool, ignore_errors=True):
                for config in configs:
                    self.fn.run(*args, **{**kwargs, 'warmup': True}, **config.all_kwargs())
        return run(self, *args, **kwargs)

    autotuner.Autotuner.run = compile_first


def measure_shortest():
    import triton.testing

    measure = triton.testing.do_bench

    def shortest(call, **_):
        return 3 * [measure(call, warmup=2, rep=10, return_mode='min')]  # in place of three quantiles

    triton.testing.do_bench = shortest


def note_launches():
    """The cache's folders of the kernels that are launched from now on, but for those being measured."""
    from triton.runtime import autotuner, jit

    folders, measuring = set(), []
    launch, bench = jit.JITFunction.run, autotuner.Autotuner._bench

    def launched(self, *args, **kwargs):
        kernel = launch(self, *args, **kwargs)
        if not measuring and hasattr(kernel, 'hash'):
            folders.add(base64.b32encode(bytes.fromhex(kernel.hash)).decode().rstrip('='))
        return kernel

    def benched(self, *args, **kwargs):
        measuring.append(True)
        try:
            return bench(self, *args, **kwargs)
        finally:
            measuring.pop()

    jit.JITFunction.run, autotuner.Autotuner._bench = launched, benched
    return folders


def prepare(name, heads):
    """One op, in a process of its own."""
    import torch

    from peer_ops import PEER_OPS, adjoint_like, peer_passes

    lift_check()
    compile_side_by_side()
    measure_shortest()
    folders = note_launches()
    op = PEER_OPS[name]
    x = op.inputs(Shape(TUNED_LENGTH, *heads))
    peer_passes(op, x, adjoint_like(x))[1]()
    torch.cuda.synchronize()
    with open(marker(name, heads), 'w') as file:
        file.write('\n'.join(sorted(folders)))


def start(name, heads):
    log = tempfile.NamedTemporaryFile('w+', suffix='.log')
    environment = dict(os.environ, TRITON_CACHE_AUTOTUNING='1', FLA_CACHE_RESULTS='1', PEER_CACHE_ROOT=root(),
                       TRITON_CACHE_DIR=cache_of(heads), PEER_HEADS='-'.join(map(str, heads)))
    process = subprocess.Popen([sys.executable, os.path.abspath(__file__), 'op', name], env=environment, stdout=log,
                               stderr=subprocess.STDOUT)
    return process, log


def report(case, begun, process, log):
    """Says how it ended; what runs on is ended here."""
    status = process.poll()
    if status is None:
        process.kill()
        process.wait()
    log.seek(0)
    last = [] if status == 0 else log.read().splitlines()[-4:]
    print(f'{case}: {time.monotonic() - begun:.0f} s, {"not done" if status is None else status}', *last, sep='\n  ', flush=True)


def prepare_all(names, deadline, at_once=max(2, (os.cpu_count() or 2) - 2)):
    """The head sizes that are timed at most lengths first."""
    from peer_ops import PEER_OPS

    waiting = [(name, heads) for order in range(3) for name in names or PEER_OPS
               for heads in PEER_OPS[name].heads[order:order + 1]
               if PEER_OPS[name].function.startswith('fla') and not os.path.exists(marker(name, heads))]
    running = []
    while (waiting or running) and time.monotonic() < deadline:
        while waiting and len(running) < at_once:
            case = waiting.pop(0)
            os.makedirs(cache_of(case[1]), exist_ok=True)
            running.append((case, time.monotonic(), *start(*case)))
        for entry in running[:]:
            if entry[2].poll() is not None:
                running.remove(entry)
                report(*entry)
        time.sleep(0.05)
    for entry in running:
        report(*entry)
    for case in waiting:
        print(f'{case}: not begun')


def main():
    if sys.argv[1] == 'op':  # a child
        prepare(sys.argv[2], tuple(map(int, os.environ['PEER_HEADS'].split('-'))))
    else:
        names = sys.argv[2].split(',') if len(sys.argv) > 2 else None
        prepare_all(names, time.monotonic() + float(sys.argv[1]))


if __name__ == '__main__':
    main()
