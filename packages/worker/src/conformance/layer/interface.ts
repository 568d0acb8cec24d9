import { type Device, fromArray, openCpuDevice, openShapeDevice } from '@longscan/kernels';
import type { LayerPlace } from '../../layer.js';
import { sliceContexts } from '../../model/layer-context.js';
import { type Check, demand } from '../check.js';
import { type BuiltLayer, buildLayer } from './build-layer.js';
import { outputLine, parameterLine } from './origins.js';
import { createProblem } from './problem.js';
import { runAlone } from './run-layer.js';
import { transitionsOf } from './transitions.js';
import { deepPlace, ownName, parameterSpecs, type Variant } from './variant.js';

const parameterName = /^[a-z][a-zA-Z0-9]*([._-][a-zA-Z0-9]+)*$/;
const places: readonly LayerPlace[] = [
  { index: 0, count: 1 },
  { index: 0, count: 4 },
  { index: 3, count: 4 },
];

/** What a layer promises to model, planner and checkpoints, whatever it computes. */
export function interfaceChecks(variant: Variant): Check[] {
  return [
    { name: 'its declaration fits what it does', run: () => checkDeclaration(variant) },
    {
      name: 'parameter names are well formed, unique, and the same wherever the layer stands',
      run: () => checkNames(variant),
    },
    {
      name: 'the output is [B, T, D] and finite, for any T and at any depth',
      run: () => checkShapes(variant),
    },
    {
      name: 'called again, it gives the same output: nothing is kept between calls',
      run: () => checkCalls(variant),
    },
    { name: 'a shape-only device sees the same shapes and FLOPs', run: () => checkShapeDevice(variant) },
    { name: 'forward and backward free what they made', run: () => checkMemory(variant) },
  ];
}

async function checkDeclaration(variant: Variant): Promise<void> {
  const { name, paper, transition, config, choices } = variant.layer;
  demand(/^[a-z0-9-]+$/.test(name), `'${name}' is no layer's name, which is [a-z0-9-]+`);
  demand(URL.canParse(paper), `'${paper}' is no URL of a paper`);
  for (const [option, values] of Object.entries(choices ?? {})) {
    const isAmong = values?.includes(config[option] as never) ?? false;
    demand(isAmong, `${option}: the default ${config[option]} is not among its choices`);
  }
  // An option may choose another recurrence; the class that is listed is that of the defaults.
  if (variant.label !== 'defaults') return;
  const kinds = transitionsOf(variant);
  const fits = kinds.size === 0 || transition === 'softmax' || kinds.has(transition);
  demand(fits, `it declares transition '${transition}', its recurrences have ${[...kinds].join(', ')}`);
}

async function checkNames(variant: Variant): Promise<void> {
  const names = parameterSpecs(variant).map(ownName);
  for (const name of names.filter((one) => !parameterName.test(one))) {
    throw new Error(`'${name}' is no parameter's name${parameterLine(variant, name, deepPlace)}`);
  }
  demand(new Set(names).size === names.length, `a name occurs twice in ${names.join(', ')}`);
  for (const place of places) {
    const there = parameterSpecs(variant, place).map(ownName);
    const other = there.find((name, i) => name !== names[i]);
    const line = other === undefined ? '' : parameterLine(variant, other, place);
    demand(
      there.join() === names.join(),
      `layer ${place.index} of ${place.count} declares ${there.join(', ')}, others ${names.join(', ')}${line}`,
    );
  }
}

async function checkShapes(variant: Variant): Promise<void> {
  for (const place of places) {
    for (const [B, T] of [
      [1, 1],
      [3, 17],
      [1, 130],
    ] as const) {
      const { output } = await runAlone(createProblem(variant, { B, T, place, dtype: 'f32' }));
      const wrong = output.findIndex((value) => !Number.isFinite(value));
      demand(
        wrong < 0,
        `B = ${B}, T = ${T}, layer ${place.index} of ${place.count}: element ${wrong} is ${output[wrong]}`,
      );
    }
  }
}

/** What is kept may live as long as the layer's function, or as its module: the second layer is created anew. */
async function checkCalls(variant: Variant): Promise<void> {
  const { B, T, x, place, dtype } = createProblem(variant, { T: 33, dtype: 'f32' });
  const device = openCpuDevice({ poison: true });
  try {
    const input = fromArray(device, x, [B, T, variant.dModel], dtype);
    const call = ({ apply }: BuiltLayer): Promise<Float64Array> =>
      device.scope(() => apply(input, sliceContexts(null, null).forLayer(place.index))).readNumbers();
    const layer = buildLayer(device, variant, place, dtype);
    const first = await call(layer);
    const again = {
      'a second call': layer,
      'a call of another `create`': buildLayer(device, variant, place, dtype),
    };
    for (const [which, built] of Object.entries(again)) {
      const output = await call(built);
      const changed = output.findIndex((value, i) => !Object.is(value, first[i]));
      demand(
        changed < 0,
        `${which} on the same input gives another output, ${output[changed]} instead of ${first[changed]}: something is kept between calls${outputLine(variant)}`,
      );
    }
  } finally {
    device.close();
  }
}

async function checkShapeDevice(variant: Variant): Promise<void> {
  const cpu = openCpuDevice({ poison: true });
  try {
    const [computed, declared] = [oneStep(cpu, variant), oneStep(openShapeDevice(), variant)];
    await cpu.compute.sync();
    const expected = `2,33,${variant.dModel}`;
    demand(computed.shape === expected, `the output is [${computed.shape}], expected [${expected}]`);
    demand(
      declared.shape === expected,
      `shape-only: the output is [${declared.shape}], expected [${expected}]`,
    );
    demand(computed.flops === declared.flops, `${computed.flops} FLOPs computed, ${declared.flops} declared`);
  } finally {
    cpu.close();
  }
}

async function checkMemory(variant: Variant): Promise<void> {
  const cpu = openCpuDevice({ poison: true });
  try {
    const { heldBytes } = oneStep(cpu, variant);
    await cpu.compute.sync();
    demand(heldBytes === 0, `${heldBytes} bytes are still held`);
  } finally {
    cpu.close();
  }
}

/** One forward and backward pass; the output's shape, the FLOPs, and the bytes that it leaves behind. */
function oneStep(device: Device, variant: Variant): { shape: string; flops: number; heldBytes: number } {
  const { B, T, x, place, dtype } = createProblem(variant, { T: 33, dtype: 'f32' });
  const { apply } = buildLayer(device, variant, place, dtype);
  const atRest = device.memory().inUseBytes;
  const shape = device.scope(() => {
    const input = fromArray(device, x, [B, T, variant.dModel], dtype);
    input.requiresGrad = true;
    const context = sliceContexts(null, null).forLayer(place.index);
    const { result: output, tape } = device.record(() => device.scope(() => apply(input, context)));
    tape.backward([output], [fromArray(device, x, [B, T, variant.dModel], dtype)]);
    return output.shape.join();
  });
  return { shape, flops: device.flops, heldBytes: device.memory().inUseBytes - atRest };
}
