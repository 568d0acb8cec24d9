#!/usr/bin/env python3
"""Times longscan's CUDA kernels beside flash-linear-attention's and PyTorch's in one run, and compares errors with f64.

    PYTHONPATH=<flash-linear-attention checkout> python3 scripts/peers/bench_kernels.py LIBRARY.so --out DIR [--ops gla,kda]

LIBRARY.so: of scripts/cuda/build.sh, or the bundle's longscan_cuda.so. Prints a table of ratios; writes DIR/kernels.json,
which `longscan bench kernels --beside` reads, and DIR/kernels.md. Where a library is missing its column is empty.
B = 1, bf16 (gates, beta and taps f32). Milliseconds by CUDA events: median (5th - 95th percentile), in turns with the peer.
First have the peer's kernels compiled: `peer_kernels.py SECONDS`. Without that they are at each first call, which takes
minutes for each op.
With Triton 3.4 to 3.7.0 on Hopper the peer refuses some gated backward passes, which Triton computes wrongly there.
--unsafe-peer lets it run all the same (its checkout is left as it is), and the output says so: see its errors before
its times.
"""

import argparse
import gc
import json
import os
import sys
import time

import torch

import accuracy
import peer_kernels
import table
from floors import least_bytes, least_flops
from our_ops import our_passes
from peer_ops import PEER_OPS, adjoint_like, peer_passes
from shapes import HEADS, LENGTHS, SMALL, Shape
from timing import ceilings, graph_of, milliseconds, peak_bytes

GRAPH_LENGTH, SMALL_LENGTH = 8192, 32768


def shapes_of(name, longest, others=()):
    """Every length at our head sizes, one at small heads, two at those of the peer's models; or `others` at our head sizes."""
    if others:
        return [Shape(T, *HEADS) for T in others if HEADS in PEER_OPS[name].heads]
    lengths = {HEADS: LENGTHS, SMALL: (SMALL_LENGTH,)}
    wanted = [Shape(T, *heads) for heads in PEER_OPS[name].heads
              for T in lengths.get(heads, (GRAPH_LENGTH, SMALL_LENGTH))]
    # Quadratic work: attention at 512K is minutes.
    return [shape for shape in wanted if shape.T <= (min(longest, 131072) if name == 'attention' else longest)]


def passes_of(name, x, dO, library, with_peer):
    """By who: the passes, or why there are none."""
    makers = dict(ours=lambda: our_passes(name, library, x, dO))
    if with_peer:
        makers['peer'] = lambda: peer_passes(PEER_OPS[name], x, dO)
    found = {}
    for who, make in makers.items():
        try:
            passes = make()
            passes[1]()
            found[who] = passes
        except Exception as error:  # missing kernels, a refusal, no memory
            found[who] = f'{type(error).__name__}: {str(error)[:200]}'
    return found


def measure(name, shape, library, with_peer):
    op = PEER_OPS[name]
    x = op.inputs(shape)
    dO = adjoint_like(x)
    row = dict(op=name, **shape._asdict(), bytes=least_bytes(x, dO), flops=least_flops(name, shape))
    passes = passes_of(name, x, dO, library, with_peer)
    row.update((who, dict(missing=found)) for who, found in passes.items() if isinstance(found, str))
    able = {who: found for who, found in passes.items() if not isinstance(found, str)}
    for index, label in enumerate(('forward', 'both')):
        for who, times in milliseconds({who: found[index] for who, found in able.items()}).items() if able else ():
            row.setdefault(who, {})[label] = times
    for who, (_, both) in able.items():
        row[who]['peakBytes'] = peak_bytes(both)
    if shape.T <= GRAPH_LENGTH:
        graphs = {}
        for who, (_, both) in able.items():
            try:
                graphs[who] = graph_of(both)
            except RuntimeError as error:  # what synchronises cannot be captured
                row[who]['noGraph'] = str(error)[:100]
        for who, times in milliseconds(graphs, 60).items() if graphs else ():
            row[who]['graph'] = times
    return row


def free():
    gc.collect()
    torch.cuda.empty_cache()


def versions(lifted):
    import triton

    return dict(gpu=torch.cuda.get_device_name(), torch=torch.__version__, triton=triton.__version__,
                fla=getattr(sys.modules.get('fla'), '__version__', None), refusalLifted=lifted)


def importance(job):
    """For a run that may be cut short: our head sizes up to 131K, short errors, other sizes, then what takes longest."""
    function, _, shape, *_ = job
    if function is measure:
        return (2 if shape[1:] != HEADS else 0 if shape.T <= 131072 else 3), shape[1:], shape.T
    return (1 if shape is accuracy.SHORT else 4), shape[1:], shape.T


def write(report, folder):
    """After every row, so that a run that is cut short has written what it found."""
    os.makedirs(folder, exist_ok=True)
    for name, text in (('kernels.json', json.dumps(report, indent=1)), ('kernels.md', table.markdown(report))):
        with open(os.path.join(folder, name), 'w') as file:
            file.write(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('library')
    parser.add_argument('--out', default='.', help='folder for kernels.json and kernels.md')
    parser.add_argument('--ops', default=','.join(PEER_OPS), help='default: all, %(default)s')
    parser.add_argument('--longest', type=int, default=max(LENGTHS), help='tokens; default: %(default)s')
    parser.add_argument('--lengths', default='', help='tokens, such as 1000,5000: these at our head sizes and no others')
    parser.add_argument('--errors', choices=('none', 'short', 'all'), default='none', help='all: up to T = 1M')
    parser.add_argument('--no-times', action='store_true')
    parser.add_argument('--unsafe-peer', action='store_true', help='see above')
    parser.add_argument('--ready-only', action='store_true', help='no peer where its kernels are not compiled yet')
    parser.add_argument('--seconds', type=float, default=1e9, help='begin nothing new after so long, once it has started')
    options = parser.parse_args()
    names = options.ops.split(',')
    if not os.path.exists(options.library):
        parser.error(f'no library {options.library}: scripts/cuda/build.sh makes it')
    options.library = os.path.abspath(options.library)
    others = [int(tokens) for tokens in options.lengths.split(',') if tokens]
    if unknown := set(names) - set(PEER_OPS):
        parser.error(f'no op {", ".join(sorted(unknown))}; there are {", ".join(PEER_OPS)}')
    with_peer = peer_kernels.present()
    lifted = with_peer and options.unsafe_peer and peer_kernels.lift_check()
    torch.manual_seed(0)
    report = dict(machine=versions(lifted), ceilings=ceilings(), rows=[], errors=[])
    print(json.dumps({key: report[key] for key in ('machine', 'ceilings')}), flush=True)
    free()
    deadline = time.monotonic() + options.seconds
    times = [] if options.no_times else [(measure, name, shape) for name in names
                                         for shape in shapes_of(name, options.longest, others)]
    errors = [(accuracy.errors, name, *case) for name in names for case in accuracy.cases(name)
              if options.errors == 'all' or options.errors == 'short' and case[0] is accuracy.SHORT]
    tuned_for, failed = HEADS, []
    for function, *arguments in sorted(times + errors, key=importance):
        if time.monotonic() > deadline:
            print('out of time before', arguments[0], arguments[1], flush=True)
            continue
        begun = time.monotonic()
        heads = arguments[1][1:] if function is measure else HEADS
        of_torch = not PEER_OPS[arguments[0]].function.startswith('fla')
        ready = not options.ready_only or os.path.exists(peer_kernels.marker(arguments[0], heads))
        if with_peer and heads != tuned_for:
            peer_kernels.use_cache_of(heads)
            tuned_for = heads
        try:
            row = function(*arguments, options.library, of_torch or with_peer and ready)
        except Exception as error:  # such as no memory for the inputs: the others go on
            failed.append(f'{arguments[0]} {arguments[1]}: {type(error).__name__}: {str(error)[:200]}')
            print('FAIL', failed[-1], flush=True)
            continue
        finally:
            free()
        report['rows' if function is measure else 'errors'].append(row)
        print(table.line(row), f'[{time.monotonic() - begun:.1f} s]', flush=True)
        write(report, options.out)
    print(table.markdown(report))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
