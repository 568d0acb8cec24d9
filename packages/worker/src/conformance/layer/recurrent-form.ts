import { fromArray, type HostTensor, openCpuDevice, type RecurrenceInputs } from '@longscan/kernels';
import {
  bidirectionalReference,
  expectClose,
  placeTokens,
  sliceTokens,
  tolerances,
} from '@longscan/kernels/testing';
import { CarriedContexts } from '../../model/layer-context.js';
import type { Check } from '../check.js';
import { buildLayer } from './build-layer.js';
import { createProblem, type Problem } from './problem.js';
import { noting, type RecurrenceCall } from './recurrence-calls.js';
import { contextsOf, runAlone } from './run-layer.js';
import type { Variant } from './variant.js';

const T = 70;
const starts = [
  [5, 6, 16, 64],
  [0, 33],
];

/** The chunkwise form computes what the recurrence says. */
export function recurrentFormChecks(variant: Variant): Check[] {
  return [
    {
      name: 'every recurrence = its definition, token by token on the host',
      run: () => checkDefinition(createProblem(variant, { T })),
    },
    {
      name: 'the same with documents packed',
      run: () => checkDefinition(createProblem(variant, { T, starts })),
    },
    {
      name: 'one token at a time with carried state = the whole sequence',
      run: () => checkCarried(variant, new Array<number>(T).fill(1)),
    },
    {
      name: 'uneven pieces with carried state = the whole sequence',
      run: () => checkCarried(variant, [3, 40, 1, 26]),
    },
  ];
}

export async function checkDefinition(problem: Problem): Promise<void> {
  const { variant, place, B, T, x, resets, bidirectional } = problem;
  const device = openCpuDevice({ poison: true });
  try {
    const { apply } = buildLayer(device, variant, place, 'f64');
    const calls: RecurrenceCall[] = [];
    const context = noting(contextsOf(device, problem, null).forLayer(place.index), calls);
    apply(fromArray(device, x, [B, T, variant.dModel], 'f64'), context);
    for (const [i, { op, inputs, output }] of calls.entries()) {
      const host = await toHost(inputs);
      const expected = bidirectional
        ? bidirectionalReference(op, host, resets, [B, T])
        : op.reference(host, resets, null).output;
      expectClose(`recurrence ${i}, ${op.name}`, await output.readNumbers(), expected, tolerances.f64);
    }
  } finally {
    device.close();
  }
}

async function toHost(inputs: RecurrenceInputs): Promise<Record<string, HostTensor | null>> {
  const entries = Object.entries(inputs).map(async ([name, tensor]): Promise<[string, HostTensor | null]> => {
    return [name, tensor && { values: await tensor.readNumbers(), shape: tensor.shape }];
  });
  return Object.fromEntries(await Promise.all(entries));
}

async function checkCarried(variant: Variant, lengths: readonly number[]): Promise<void> {
  const problem = createProblem(variant, { T });
  const { B, x, place } = problem;
  const { output: whole } = await runAlone(problem);
  const device = openCpuDevice({ poison: true });
  try {
    const { apply } = buildLayer(device, variant, place, 'f64');
    const contexts = new CarriedContexts();
    const found = new Float64Array(whole.length);
    let begin = 0;
    for (const length of lengths) {
      const values = sliceTokens(x, problem, begin, length);
      const output = device.scope(() =>
        apply(fromArray(device, values, [B, length, variant.dModel], 'f64'), contexts.forLayer(place.index)),
      );
      placeTokens(found, problem, begin, await output.readNumbers());
      output.release();
      begin += length;
    }
    expectClose('output', found, whole, tolerances.f64);
  } finally {
    device.close();
  }
}
