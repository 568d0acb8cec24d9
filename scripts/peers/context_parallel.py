#!/usr/bin/env python3
"""Times recurrences over a sequence on several GPUs beside flash-linear-attention's context parallelism, in one run.

    PYTHONPATH=<flash-linear-attention checkout> python3 scripts/peers/context_parallel.py --out DIR [--ranks 2]

Ours: `longscan bench recurrences`, every strategy. The peer: `cp_context` of its gated delta rule and of KDA, the only ops of
these that have one: each rank's (state, transition) by an all-gather over NCCL, merged on every rank. B = 1, bf16, gates and
beta f32, one process a GPU; neither side's kernels depend on the values but ours of KDA (steep decays take longer; these are
mild ones, as of layers at their start). Milliseconds of the slowest rank, from a barrier on, everything launched before it begins:
median (10th - 90th percentile). `alone`: each slice as a sequence of its own, in turns with the others, which tells what
crossing the ranks adds. Whatever the peer compiles it does before: TRITON_CACHE_DIR with TRITON_CACHE_AUTOTUNING=1 keeps it.
Prints a table; writes DIR/context_parallel.json and DIR/context_parallel.md. Where one side is missing its columns are empty.
"""

import argparse
import importlib
import json
import os
import subprocess

import torch
import torch.distributed as dist
import torch.multiprocessing as processes

import peer_kernels
from peer_ops import PEER_OPS, peer_passes
from shapes import HEADS, Shape

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
# By our names.
PEER_NAMES = {'gated-deltanet': 'gated_delta', 'kda': 'kda'}
PASSES = ('forward', 'both')
WARM_UPS = 3
LAUNCHING_CYCLES = 30_000_000  # of the GPU, 15 to 20 ms


def quantiles(times):
    ordered = sorted(times)
    return [ordered[round(part * (len(ordered) - 1))] for part in (0.5, 0.1, 0.9)]


def drawn(op, shape):
    """A rank's slice, with decays as `bench recurrences` has them."""
    x = op.inputs(shape)
    return x | dict(g=-0.05 * torch.randn_like(x['g']).abs())


def runs_of(name, shape, ranks):
    """By (pass, whether states cross): the run."""
    from fla.ops.cp import build_cp_context

    op = PEER_OPS[name]
    x = drawn(op, shape)
    dO = torch.randn_like(x['v'])
    whole = torch.tensor([0, shape.T * ranks], dtype=torch.long, device='cuda')
    context = build_cp_context(whole, group=dist.group.WORLD)
    crossing = op._replace(call=lambda f, x: f(x['q'], x['k'], x['v'], x['g'], x['beta'], cp_context=context)[0])
    return {(label, crosses): run for crosses, which in ((False, op), (True, crossing))
            for label, run in zip(PASSES, peer_passes(which, x, dO))}


def timed(run):
    """From a barrier of the ranks on, which waits until the run is launched."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    dist.barrier()
    torch.cuda._sleep(LAUNCHING_CYCLES)
    dist.all_reduce(torch.zeros(1, device='cuda'))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def slowest(times):
    """Of each round."""
    tensor = torch.tensor(times, device='cuda')
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return tensor.tolist()


def peak_bytes(run):
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def measure_peer(name, shape, ranks, rounds):
    runs = runs_of(name, shape, ranks)
    for run in runs.values():
        for _ in range(WARM_UPS):
            run()
    times = {key: [] for key in runs}
    for _ in range(rounds):
        for key, run in runs.items():
            times[key].append(timed(run))
    return [dict(**{'pass': label}, crosses=crosses, times=quantiles(slowest(times[label, crosses])),
                 extraBytes=int(slowest([float(peak_bytes(run))])[0])) for (label, crosses), run in runs.items()]


def rank_main(rank, ranks, port, options, path):
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.cuda.set_device(rank)
    dist.init_process_group('nccl', rank=rank, world_size=ranks, device_id=torch.device('cuda', rank))
    peer_kernels.lift_check()
    peer_kernels.compile_side_by_side(max(2, (os.cpu_count() or 2) // ranks - 2))
    peer_kernels.measure_shortest()
    torch.manual_seed(rank)
    rows = []
    for T in options.lengths:
        for ours, name in PEER_NAMES.items():
            if ours not in options.ops:
                continue
            # What fails on one rank ends them all: the others would wait for it.
            found = measure_peer(name, Shape(T // ranks, *HEADS), ranks, options.rounds)
            rows += [dict(op=ours, T=T, **row) for row in found]
            if rank == 0:
                print(f'peer: {ours}, {T}', flush=True)
                with open(path, 'w') as file:
                    json.dump(rows, file)
    dist.destroy_process_group()


def run_peer(options, failures):
    path = os.path.join(options.out, 'peer.json')  # what there is of it outlives a run that is cut off
    with open(path, 'w') as file:
        file.write('[]')
    try:
        processes.spawn(rank_main, (options.ranks, options.port, options, path), nprocs=options.ranks)
    except Exception as error:
        failures.append(f'peer: {str(error)[-2000:]}')
    with open(path) as file:
        return json.load(file)


def run_ours(options, failures):
    command = [options.longscan, 'bench', 'recurrences', '--sp', str(options.ranks), '--device', 'cuda', '--json']
    command += ['--rounds', str(options.rounds)]
    for flag, values in (('--op', options.ops), ('--strategy', options.strategies)):
        command += [word for value in values for word in (flag, value)]
    H, K, V = HEADS
    for T in options.lengths:
        command += ['--shape', f'B=1,T={T},H={H},K={K},V={V}']
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        rows = json.loads(done.stdout)  # exit code 3 with rows that say why there are no times; an error is an object
    except json.JSONDecodeError:
        rows = None
    if isinstance(rows, list):
        return rows
    failures.append(f'{" ".join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}')
    return []


def cell(times):
    median, low, high = times
    return f'{median:.3f} ({low:.3f} - {high:.3f})'


def added(crossing, alone):
    return f'{crossing - alone:.3f} = {100 * (crossing / alone - 1):.1f} %'


def peer_cells(rows, which):
    """Alone, crossing, what that adds, memory; and the time."""
    found = {row['crosses']: row for row in rows if (row['op'], row['T'], row['pass']) == which}
    if len(found) < 2:
        return ['', '', '', ''], None
    alone, crossing = found[False]['times'], found[True]['times']
    memory = format(found[True]['extraBytes'] / 1e6, ',.0f')
    return [cell(alone), cell(crossing), added(crossing[0], alone[0]), memory], crossing[0]


def our_cells(row):
    """Of one strategy: alone, its name, crossing, what that adds, memory."""
    if row is None:
        return ['', '', '', '', '']
    alone = row['alone']
    times = [cell([one[key] for key in ('medianMs', 'lowMs', 'highMs')]) for one in (alone, row)]
    return [times[0], row['strategy'], times[1], added(row['medianMs'], alone['medianMs']), format(row['extraBytes'] / 1e6, ',.0f')]


def lines_of(report):
    """One for each of our strategies, or for the peer alone."""
    measured = [row for row in report['ours'] if 'missing' not in row]
    alone = {(row['op'], row['T'], row['pass']): row for row in measured if row['strategy'] is None}
    ours = {}
    for row in measured:
        which = row['op'], row['T'], row['pass']
        if row['strategy'] is not None:
            ours.setdefault(which, []).append(dict(row, alone=alone[which]))
    theirs = [(row['op'], row['T'], row['pass']) for row in report['peer']]
    for which in dict.fromkeys([*ours, *theirs]):
        peer, peer_ms = peer_cells(report['peer'], which)
        for row in ours.get(which, [None]):
            ratio = '' if peer_ms is None or row is None else f'**{row["medianMs"] / peer_ms:.2f}**'
            yield f'| {" | ".join([which[0], format(which[1], ","), which[2], *our_cells(row), *peer, ratio])} |'


def markdown(report):
    head = ['recurrence', 'T', 'pass', 'ours: alone', 'by', 'over ranks', 'adds', 'MB', 'peer: alone', 'over ranks', 'adds', 'MB',
            'ratio']
    lines = [f'{report["ranks"]} x {report["gpu"]}, PyTorch {report["torch"]}, flash-linear-attention {report["fla"]}; '
             f'H, K, V = {", ".join(map(str, HEADS))}; ms', '',
             f'| {" | ".join(head)} |', f'|{" --- |" * len(head)}', *lines_of(report), '']
    lines += [f'{row["op"]}, T = {row["T"]}: {row["missing"]}' for row in report['ours'] if 'missing' in row]
    return '\n'.join([*lines, *report['failures']])


def write(report, folder):
    os.makedirs(folder, exist_ok=True)
    for name, text in (('context_parallel.json', json.dumps(report, indent=1)), ('context_parallel.md', markdown(report))):
        with open(os.path.join(folder, name), 'w') as file:
            file.write(text)


def numbers(text):
    return [int(word) for word in text.split(',')]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', default='.', help='folder for context_parallel.json and context_parallel.md')
    parser.add_argument('--ranks', type=int, default=torch.cuda.device_count())
    parser.add_argument('--ops', type=lambda text: text.split(','),
                        default=['linear-attention', 'gla', 'deltanet', 'gated-deltanet', 'kda'], help='by our names')
    parser.add_argument('--strategies', type=lambda text: text.split(','), default=['all-scan', 'all-gather'])
    parser.add_argument('--lengths', type=numbers, default=[65536, 262144], help='tokens of the whole sequence')
    parser.add_argument('--rounds', type=int, default=20)
    parser.add_argument('--port', type=int, default=29577, help="of the peer's processes")
    parser.add_argument('--only', choices=('ours', 'peer'), help='leave the other side out')
    parser.add_argument('--longscan', default=os.path.join(ROOT, 'longscan'))
    options = parser.parse_args()
    if options.ranks < 2:
        parser.error(f'{options.ranks} ranks: there have to be two GPUs or more')
    options.longscan = os.path.abspath(options.longscan)
    with_peer = options.only != 'ours' and peer_kernels.present()
    report = dict(ranks=options.ranks, gpu=None, torch=torch.__version__, fla=None, ours=[], peer=[], failures=[])
    if options.only != 'peer':
        report['ours'] = run_ours(options, report['failures'])
    # From here on this process has memory on a GPU.
    report['gpu'] = torch.cuda.get_device_name()
    write(report, options.out)
    if with_peer:
        report['fla'] = importlib.import_module('fla').__version__
        report['peer'] = run_peer(options, report['failures'])
        write(report, options.out)
    print(markdown(report))
    return 1 if report['failures'] else 0


if __name__ == '__main__':
    raise SystemExit(main())
