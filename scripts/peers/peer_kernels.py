"""Compiles and tunes flash-linear-attention's Triton kernels before they are timed.

usage: PYTHONPATH=<flash-linear-attention checkout> TRITON_CACHE_DIR=DIR python3 peer_kernels.py compile|tune SECONDS [op,op]

The peer tries up to 48 configurations of each of its kernels, and compiling them takes minutes. `compile` does that in one
process for each op and head size, side by side, several configurations at a time in each, and chooses nothing. `tune`
lets Triton choose among them by the shortest of about 10 ms of runs of each, where its own measure is the median of
100 ms. What is not done after SECONDS is named and left. Results stay in TRITON_CACHE_DIR, and are used where
TRITON_CACHE_AUTOTUNING=1. Some of the peer's kernels are tuned once and then used for every head size, so each size has a
cache of its own (`cache_of`), and the peer runs with what is best for it. Triton's keys hold no path: the cache serves
another checkout.
"""

import base64
import concurrent.futures
import fcntl
import gc
import importlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time

from shapes import HEADS, Shape

COMPILED_LENGTH, TUNED_LENGTH = 8192, 32768


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


def use_cache_of(heads):
    """From now on in this process; what was chosen for other head sizes is forgotten."""
    from triton.runtime.autotuner import Autotuner

    os.environ.update(PEER_CACHE_ROOT=root(), TRITON_CACHE_DIR=cache_of(heads))
    for object in gc.get_objects():
        if issubclass(type(object), Autotuner):  # isinstance would open modules that load when they are looked at
            object.cache.clear()


def run_once(name, heads, T):
    import torch

    from peer_ops import PEER_OPS, adjoint_like, peer_passes

    lift_check()
    op = PEER_OPS[name]
    x = op.inputs(Shape(T, *heads))
    peer_passes(op, x, adjoint_like(x))[1]()
    torch.cuda.synchronize()


def compile_one(name, heads, workers=6):
    """Every configuration of the op's kernels; one of each is launched unmeasured, so that the op gets to its next."""
    from triton.compiler.errors import CompileTimeAssertionFailure
    from triton.runtime import _async_compile, autotuner
    from triton.runtime.errors import OutOfResources, PTXASError

    pool = concurrent.futures.ThreadPoolExecutor(workers)

    def run(self, *args, **kwargs):
        self.nargs = dict(zip(self.arg_names, args))
        configs = self.prune_configs(kwargs)
        if len(configs) > 1:
            with _async_compile.AsyncCompileMode(pool, ignore_errors=True):
                for config in configs:
                    self.fn.run(*args, **{**kwargs, 'warmup': True}, **config.all_kwargs())
        for config in configs:
            try:
                kernel = self.fn.run(*args, **kwargs, **config.all_kwargs())
            except (OutOfResources, PTXASError, CompileTimeAssertionFailure):
                continue
            self.nargs = None
            return kernel
        raise RuntimeError(f'no configuration of {self.base_fn.__name__} fits')

    autotuner.Autotuner.run = run
    run_once(name, heads, COMPILED_LENGTH)


def tune_ops(names, heads):
    """Chooses for one head size, when no other process is choosing."""
    import torch
    import triton.testing
    from triton.runtime import autotuner, jit

    used, measuring = set(), []
    measure, launch, bench = triton.testing.do_bench, jit.JITFunction.run, autotuner.Autotuner._bench

    def shortest(call, **_):
        return 3 * [measure(call, warmup=2, rep=10, return_mode='min')]  # in place of three quantiles

    triton.testing.do_bench = shortest

    def launched(self, *args, **kwargs):
        kernel = launch(self, *args, **kwargs)
        if kernel is not None and not measuring:
            used.add(base64.b32encode(bytes.fromhex(kernel.hash)).decode().rstrip('='))
        return kernel

    def benched(self, *args, **kwargs):
        measuring.append(True)
        try:
            return bench(self, *args, **kwargs)
        finally:
            measuring.pop()

    jit.JITFunction.run, autotuner.Autotuner._bench = launched, benched
    torch.empty(1, device='cuda')
    with open(os.path.join(root(), 'tuning.lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in names:
            begun = time.monotonic()
            try:
                run_once(name, heads, TUNED_LENGTH)
                result = 'done'
                open(marker(name, heads), 'w').close()
            except Exception as error:
                result = f'{type(error).__name__}: {str(error)[:200]}'
            print(f'tune {name} {heads}: {time.monotonic() - begun:.1f} s {result}', flush=True)
            with open(os.path.join(root(), 'used-' + '-'.join(map(str, heads))), 'w') as file:
                file.write('\n'.join(sorted(used)))


def cases(names):
    """(op, head sizes) that are not tuned yet, the sizes that are timed at most lengths first."""
    from peer_ops import PEER_OPS

    tuned = [name for name in names or PEER_OPS if PEER_OPS[name].function.startswith('fla')]
    all_cases = [(name, heads) for order in range(3) for name in tuned
                 for heads in PEER_OPS[name].heads[order:order + 1]]
    return [case for case in all_cases if not os.path.exists(marker(*case))]


def marker(name, heads):
    """A file that is there once the op is tuned."""
    return os.path.join(cache_of(heads), 'tuned-' + name)


def start(arguments, heads):
    log = tempfile.NamedTemporaryFile('w+', suffix='.log')
    environment = dict(os.environ, TRITON_CACHE_AUTOTUNING='1', FLA_CACHE_RESULTS='1', PEER_CACHE_ROOT=root(),
                       TRITON_CACHE_DIR=cache_of(heads), PEER_HEADS='-'.join(map(str, heads)))
    process = subprocess.Popen([sys.executable, os.path.abspath(__file__), *arguments], env=environment, stdout=log,
                               stderr=subprocess.STDOUT)
    return process, log


def finish(label, process, log, deadline):
    """Prints the end of the log. Kills the process at the deadline."""
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    late = process.poll() is None
    if late:
        process.kill()
        process.wait()
    log.seek(0)
    print(f'{label}: {"out of time" if late else process.returncode}', *log.read().splitlines()[-12:], sep='\n  ', flush=True)


def compile_all(names, deadline, at_once=max(2, (os.cpu_count() or 2) - 2)):
    waiting, running = cases(names), []
    while (waiting or running) and time.monotonic() < deadline:
        while waiting and len(running) < at_once:
            case = waiting.pop(0)
            running.append((case, time.monotonic(), *start(['one', case[0]], case[1])))
        for entry in running[:]:
            case, begun, process, log = entry
            if process.poll() is not None:
                running.remove(entry)
                finish(f'compile {case} {time.monotonic() - begun:.0f} s', process, log, deadline)
        time.sleep(0.05)
    for case, begun, process, log in running:
        finish(f'compile {case} {time.monotonic() - begun:.0f} s', process, log, 0)
    for case in waiting:
        print(f'compile {case}: not begun')


def tune_all(names, deadline):
    of_heads = {}
    for name, heads in cases(names):
        of_heads.setdefault(heads, []).append(name)
    # All import side by side, then take turns.
    running = []
    for heads, ops in of_heads.items():
        running.append((heads, *start(['ops', ','.join(ops)], heads)))
        time.sleep(1)
    for heads, process, log in running:
        finish(f'tune {heads}', process, log, deadline)


def main():
    what, argument, *names = sys.argv[1:]
    if what in ('one', 'ops'):  # a child
        heads = tuple(map(int, os.environ['PEER_HEADS'].split('-')))
        return compile_one(argument, heads) if what == 'one' else tune_ops(argument.split(','), heads)
    os.makedirs(root(), exist_ok=True)
    deadline = time.monotonic() + float(argument)
    dict(compile=compile_all, tune=tune_all)[what](names[0].split(',') if names else None, deadline)


if __name__ == '__main__':
    main()
