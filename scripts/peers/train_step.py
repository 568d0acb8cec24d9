#!/usr/bin/env python3
"""Times training steps of longscan beside flash-linear-attention's models in plain PyTorch, in one run on one GPU.

    PYTHONPATH=<flash-linear-attention checkout> python3 scripts/peers/train_step.py --out DIR [--models gla]

Ours: `longscan bench step` with examples/bench/MODEL-1.3b.toml, bf16 with f32 master weights. The peer: the same model
(examples/bench/README.md says where it differs), all in bf16, fused AdamW, fused cross-entropy, nothing recomputed. B = 1.
They take turns, each alone on the GPU, --rounds times. Steps last from their start to the next one's: milliseconds by CUDA
events, median (5th - 95th percentile) of all rounds. Warm-up goes on until the times have settled, so that compiling has no
part in them. TRITON_CACHE_DIR with TRITON_CACHE_AUTOTUNING=1 keeps what the peer compiled and chose, for each model's head
sizes by themselves; --prepare does nothing else, many configurations at a time (peer_kernels.py).
Prints a table of ratios; writes DIR/train_step.json and DIR/train_step.md after every row. Where one side is missing
(--only, no checkout) so is the ratio.
"""

import argparse
import gc
import importlib.util
import json
import os
import statistics
import subprocess
import sys

import torch

import peer_kernels
from shapes import GLA_MODEL, HEADS
from timing import timed

PEAK_FLOPS = 989e12  # dense bf16 of an H100 or H200, as `bench step` takes it
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')


def peer_config(model):
    from fla.models import GLAConfig, LinearAttentionConfig

    sizes = dict(hidden_size=2048, num_hidden_layers=24, vocab_size=32000, fuse_cross_entropy=True)
    if model == 'gla':
        return GLAConfig(num_heads=4, **sizes)
    return LinearAttentionConfig(num_heads=16, feature_map='identity', norm_q=False, norm_k=False, **sizes)


class Peer:
    """A model with its optimizer, on random tokens."""

    def __init__(self, model, T):
        import fla.models  # noqa: F401  (makes its models known to transformers)
        from transformers import AutoModelForCausalLM

        config = peer_config(model)
        torch.manual_seed(0)
        with torch.device('cuda'):
            self.model = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-4, fused=True)
        self.tokens = torch.randint(0, config.vocab_size, (1, T), device='cuda')
        self.loss = None

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        self.loss = self.model(input_ids=self.tokens, labels=self.tokens).loss
        self.loss.backward()
        self.optimizer.step()

    def parameters(self):
        return sum(parameter.numel() for parameter in self.model.parameters())


def settle(step, least=5, most=60, alike=3, within=1.03):
    """Runs steps until the last few take equally long."""
    times = []
    while len(times) < most:
        times.append(timed(step))
        last = times[-alike:]
        if len(times) >= least and max(last) < within * min(last):
            break
    return times


def laps(step, count):
    events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
    events[0].record()
    for event in events[1:]:
        step()
        event.record()
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) for begin, end in zip(events, events[1:])]


HEADS_OF = dict(linear=HEADS, gla=GLA_MODEL)


def run_peer(model, T, count):
    peer_kernels.use_cache_of(HEADS_OF[model])
    peer = Peer(model, T)
    warm_up = settle(peer.step)
    torch.cuda.reset_peak_memory_stats()
    times = laps(peer.step, count) if count else []
    return dict(laps=times, numWarmUps=len(warm_up), numParameters=peer.parameters(), loss=float(peer.loss),
                peakBytes=torch.cuda.max_memory_allocated())


def prepare(cases):
    """Has the peer's kernels compiled, and notes which it runs beside them."""
    peer_kernels.compile_side_by_side(max(2, (os.cpu_count() or 2) - 4))
    peer_kernels.measure_shortest()
    folders = peer_kernels.note_launches()
    for model, T in cases:
        os.makedirs(peer_kernels.cache_of(HEADS_OF[model]), exist_ok=True)
        folders.clear()
        found = run_peer(model, T, 0)
        with open(peer_kernels.marker(f'train-{model}-{T}', HEADS_OF[model]), 'w') as file:
            file.write('\n'.join(sorted(folders)))
        print(f'{model}, {T}: {found["numWarmUps"]} steps until times settled', flush=True)
        free()


def run_ours(model, T, count, options):
    job = os.path.join(options.jobs, f'{model}-1.3b.toml')
    command = [options.longscan, 'bench', 'step', job, '--device', 'cuda', '--json', '--steps', str(count)]
    command += ['--warmup', str(options.warmup)]
    for key in [f'data.sequenceLength={T}', *options.set]:
        command += ['--set', key]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{" ".join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}')
    [row] = json.loads(done.stdout)
    kept = ('laps', 'numWarmUps', 'numParameters', 'loss', 'peakBytes', 'reservedBytes', 'shares', 'ops', 'flopsByModel')
    return {key: row[key] for key in kept}


def free():
    gc.collect()
    torch.cuda.empty_cache()


def spread(times):
    ordered = sorted(times)
    return [ordered[round(part * (len(ordered) - 1))] for part in (0.5, 0.05, 0.95)]


def summary(rounds, T):
    """Of one side's rounds, all steps together."""
    median, low, high = spread([lap for found in rounds for lap in found['laps']])
    last = {key: value for key, value in rounds[-1].items() if key != 'laps'}
    return dict(last, medianMs=median, lowMs=low, highMs=high, numSteps=sum(len(found['laps']) for found in rounds),
                medianOfRounds=[statistics.median(found['laps']) for found in rounds], tokensPerSecond=1e3 * T / median,
                mfuByParameters=6 * last['numParameters'] * T / (median / 1e3) / PEAK_FLOPS,
                peakBytes=max(found['peakBytes'] for found in rounds))


def measure(model, T, options):
    row, rounds = dict(model=model, T=T), dict(peer=[], ours=[])
    runs = dict(peer=lambda: run_peer(model, T, options.steps), ours=lambda: run_ours(model, T, options.steps, options))
    for _ in range(options.rounds):
        for who in options.sides:
            if who in row:
                continue
            try:
                rounds[who].append(runs[who]())
            except Exception as error:  # no memory, no kernel, not the model of its example: the other side goes on
                row[who] = dict(missing=f'{type(error).__name__}: {str(error)[-1500:]}')
            finally:
                free()
    for who, found in rounds.items():
        if found and who not in row:
            row[who] = summary(found, T)
    sides = [row[who] for who in ('ours', 'peer') if 'medianMs' in row.get(who, {})]
    if len(sides) == 2:
        if sides[0]['numParameters'] != sides[1]['numParameters']:
            row['notAlike'] = 'parameters: {} and {}'.format(*(side['numParameters'] for side in sides))
        row['ratio'] = sides[0]['tokensPerSecond'] / sides[1]['tokensPerSecond']
        row['ratioOfRounds'] = [peer / ours for ours, peer in zip(sides[0]['medianOfRounds'], sides[1]['medianOfRounds'])]
    return row


def cells(side):
    if side is None:
        return ['', '', '', '']
    if 'missing' in side:
        return [side['missing'].splitlines()[0][:80], '', '', '']
    return [f'{side["medianMs"]:.1f} ({side["lowMs"]:.1f} - {side["highMs"]:.1f})', f'{side["tokensPerSecond"]:,.0f}',
            f'{100 * side["mfuByParameters"]:.1f} %', f'{side["peakBytes"] / 1e9:.1f}']


def line(row):
    ratio = ''
    if 'ratio' in row:
        ratio = f'**{row["ratio"]:.3f}** ({", ".join(f"{one:.3f}" for one in row["ratioOfRounds"])})'
    return f'| {" | ".join([row["model"], format(row["T"], ","), *cells(row.get("ours")), *cells(row.get("peer")), ratio])} |'


def markdown(report):
    machine, rows = report['machine'], report['rows']
    whats = ('ms a step', 'tokens/s', '6 N T MFU', 'peak GB')
    head = ['model', 'T', *(f'{who}: {what}' for who in ('ours', 'peer') for what in whats), 'ratio of tokens/s (by round)']
    lines = [f'{machine["gpu"]}, PyTorch {machine["torch"]}, Triton {machine["triton"]}, flash-linear-attention {machine["fla"]};'
             f' {report["rounds"]} rounds in turns, B = 1, MFU of 989 TFLOP/s', '',
             f'| {" | ".join(head)} |', f'|{" --- |" * len(head)}', *map(line, rows), '']
    lines += [f'{row["model"]}, T = {row["T"]}: not alike, {row["notAlike"]}' for row in rows if 'notAlike' in row]
    return '\n'.join(lines)


def write(report, folder):
    os.makedirs(folder, exist_ok=True)
    for name, text in (('train_step.json', json.dumps(report, indent=1)), ('train_step.md', markdown(report))):
        with open(os.path.join(folder, name), 'w') as file:
            file.write(text)


def versions():
    import triton

    return dict(gpu=torch.cuda.get_device_name(), torch=torch.__version__, triton=triton.__version__,
                fla=getattr(sys.modules.get('fla'), '__version__', None))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', default='.', help='folder for train_step.json and train_step.md')
    parser.add_argument('--models', default='linear,gla')
    parser.add_argument('--lengths', default='8192,32768')
    parser.add_argument('--steps', type=int, default=15, help='timed steps of a round; default: %(default)s')
    parser.add_argument('--warmup', type=int, default=5, help='our steps in front of them; default: %(default)s')
    parser.add_argument('--rounds', type=int, default=2)
    parser.add_argument('--only', choices=('ours', 'peer'), help='leave the other side out')
    parser.add_argument('--prepare', action='store_true', help="have the peer's kernels compiled, and no more")
    parser.add_argument('--longscan', default=os.path.join(ROOT, 'longscan'))
    parser.add_argument('--jobs', default=os.path.join(ROOT, 'examples', 'bench'))
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE', help='of our jobs')
    options = parser.parse_args()
    models = options.models.split(',')
    if unknown := set(models) - {'linear', 'gla'}:
        parser.error(f'no model {", ".join(sorted(unknown))}; there are linear and gla')
    options.longscan = os.path.abspath(options.longscan)
    options.sides = [options.only] if options.only else ['peer', 'ours']
    if 'peer' in options.sides and importlib.util.find_spec('fla') is None:
        print('flash-linear-attention is not on PYTHONPATH: no peer', flush=True)
        options.sides.remove('peer')
        if not options.sides:
            return 1
    cases = [(model, int(T)) for T in options.lengths.split(',') for model in models]
    if options.prepare:
        prepare(cases)
        return 0
    if 'peer' in options.sides:
        importlib.import_module('fla')
    report = dict(machine=versions(), rounds=options.rounds, rows=[])
    for model, T in cases:
        report['rows'].append(measure(model, T, options))
        print(line(report['rows'][-1]), flush=True)
        write(report, options.out)
    print(markdown(report))
    return 1 if any('missing' in row.get(who, {}) for row in report['rows'] for who in options.sides) else 0


if __name__ == '__main__':
    sys.exit(main())
