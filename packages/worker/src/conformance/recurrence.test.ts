import {
  dtypeBytes,
  openCpuDevice,
  runRecurrence,
  type Tensor,
  transitionWireElements,
} from '@longscan/kernels';
import { expectClose, placeTokens, tolerances } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { recurrence } from '../sequence/recurrence.js';
import { slicesOf } from '../sequence/slice-group.js';
import type { Strategy } from '../strategy.js';

import { usualNode, withRanks } from './rank-set.js';
import { fabricOf } from './strategy/scan.js';
import { opOf, type RecurrenceCase, recurrenceCase, uploadSlice } from './testing/recurrence-case.js';
import { importUnits } from './unit-files.js';

const strategies = await importUnits<Strategy>(new URL('../sp/', import.meta.url));
const numSeeds = 24;
/** A gate's gradient is a difference of sums of order one; behind strong gates it is smaller than their f32 rounding. */
const gateNoise = 1e-6;
const names = ['q', 'k', 'v', 'g'] as const;

/** Output, and gradients by input, of the whole sequence. */
type Results = Readonly<Record<'output' | (typeof names)[number], Float64Array | null>>;

function emptyResults({ kind, q, k, v, g }: RecurrenceCase): Results {
  const hasGateGradient = g !== null && kind !== 'fixed-scalar';
  const like = (values: Float64Array) => new Float64Array(values.length);
  return { output: like(v), q: like(q), k: like(k), v: like(v), g: hasGateGradient ? like(g) : null };
}

/** One device, by autograd of the op alone, whose gradients its own test holds against the definition. */
async function onOneDevice(problem: RecurrenceCase): Promise<Results> {
  const device = openCpuDevice({ poison: true });
  const { inputs, resets, outputGradient } = uploadSlice(device, problem, 0, problem.T);
  const { result, tape } = device.record(() => runRecurrence(opOf(problem), inputs, { resets, h0: null }));
  tape.backward([result.output], [outputGradient]);
  const read = (tensor: Tensor | null | undefined) => tensor?.gradient?.readNumbers() ?? null;
  const [q, k, v, g] = await Promise.all(names.map((name) => read(inputs[name])));
  const output = await result.output.readNumbers();
  device.close();
  return { output, q: q!, k: k!, v: v!, g: g ?? null };
}

/** The slices on ranks; also checks that the two scans, and nothing else, were sent. */
function onRanks(problem: RecurrenceCase, strategy: Strategy): Promise<Results> {
  const { lengths, kind, dtype, B, H, K, V, resets } = problem;
  return withRanks(lengths.length, async ({ devices, communicators }) => {
    const results = emptyResults(problem);
    const ranksPerNode = usualNode(lengths.length);
    let end = 0;
    const slices = communicators.map((communicator, rank) => {
      const [begin, length] = [end, lengths[rank]!];
      end += length;
      const device = devices[rank]!;
      const slice = uploadSlice(device, problem, begin, length);
      const group = {
        communicator,
        strategy,
        options: { blocks: 3, ranksPerNode },
        slices: slicesOf(lengths),
      };
      const { result: output, tape } = device.record(() =>
        device.scope(() => recurrence(opOf(problem), slice.inputs, { group, resets: slice.resets })),
      );
      tape.backward([output], [slice.outputGradient]);
      return { begin, output, ...slice };
    });
    for (const { begin, output, inputs } of slices) {
      placeTokens(results.output!, problem, begin, await output.readNumbers());
      for (const name of names) {
        if (results[name] === null) continue;
        placeTokens(results[name], problem, begin, await inputs[name]!.gradient!.readNumbers());
      }
    }
    const bytes = {
      state: dtypeBytes[dtype] * B * H * V * K,
      transition: dtypeBytes[dtype] * (B * H * transitionWireElements(kind, K) + (resets ? B : 0)),
      rows: B * H * V,
    };
    const { bytesSentByRank } = strategy.cost(lengths.length, bytes, fabricOf({ ranksPerNode }));
    const mirrored = [...bytesSentByRank].reverse();
    for (const communicator of communicators) {
      const { rank } = communicator;
      assert.is(communicator.bytesSent(), bytesSentByRank[rank]! + mirrored[rank]!, `bytes of rank ${rank}`);
    }
    return results;
  });
}

for (const kind of ['identity', 'fixed-scalar', 'scalar', 'diagonal'] as const) {
  test(`recurrence over ranks ~> ${kind}: random slices and documents, every strategy`, async () => {
    for (let seed = 1; seed <= numSeeds; seed++) {
      const dtype = seed % 2 === 0 ? 'f32' : 'f64';
      const tolerance = dtype === 'f32' ? tolerances.f32Decay : tolerances.f64;
      const problem = recurrenceCase(kind, dtype, 1000 * seed);
      const { B, T, H, K, V, lengths, resets, q, k, v, g } = problem;
      const shapes = { q: [B, T, H, K], v: [B, T, H, V], g: kind === 'diagonal' ? [B, T, H, K] : [B, T, H] };
      const host = {
        q: { values: q, shape: shapes.q },
        k: { values: k, shape: shapes.q },
        v: { values: v, shape: shapes.v },
        g: g && { values: g, shape: kind === 'fixed-scalar' ? [H] : shapes.g },
      };
      const definition = opOf(problem).reference(host, resets, null).output;
      const expected = await onOneDevice({ ...problem, dtype: 'f64' });
      for (const [name, strategy] of strategies) {
        const where = `seed ${seed}, ${dtype}, ${name}, slices of ${lengths}, B=${B} H=${H} K=${K} V=${V}`;
        const found = await onRanks(problem, strategy);
        expectClose(`${where}: output`, found.output!, definition, tolerance);
        for (const input of names) {
          if (expected[input] === null) continue;
          const noise = dtype === 'f32' && input === 'g' ? gateNoise : 0;
          expectClose(`${where}: gradient of ${input}`, found[input]!, expected[input], tolerance, noise);
        }
      }
    }
  });
}

test.run();
