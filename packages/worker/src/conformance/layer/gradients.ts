import { type CheckedInput, gradCheck, openCpuDevice } from '@longscan/kernels';
import { declarer } from '../../model/declared-parameters.js';
import { type Check, demand } from '../check.js';
import { buildLayer } from './build-layer.js';
import { createProblem, type Problem } from './problem.js';
import { contextsOf } from './run-layer.js';
import { prefix, type Variant } from './variant.js';

/** Elements of each input that are perturbed. */
const maxElements = 12;
/** Two tiles of the chunk kernels and a bit; documents begin inside and at the edge of a tile. */
const T = 37;
const starts = [[9, 16], [1]];

/** x and every parameter against central differences in f64. */
export function gradientChecks(variant: Variant): Check[] {
  return [
    {
      name: 'gradients of x and every parameter = central differences',
      run: () => checkGradients(createProblem(variant, { T })),
    },
    {
      name: 'the same with documents packed',
      run: () => checkGradients(createProblem(variant, { T, starts })),
    },
  ];
}

export async function checkGradients(problem: Problem): Promise<void> {
  const { variant, place, B, T, x } = problem;
  const { layer, config, dModel } = variant;
  const device = openCpuDevice({ poison: true });
  try {
    const inputs: Record<string, CheckedInput> = { x: { values: x, shape: [B, T, dModel] } };
    for (const [name, parameter] of buildLayer(device, variant, place, 'f64').parameters.byName) {
      inputs[name] = { values: await parameter.readNumbers(), shape: parameter.shape };
    }
    const contexts = contextsOf(device, problem, null);
    const mismatches = await gradCheck(
      device,
      inputs,
      (tensors) => {
        const source = {
          device,
          dtype: 'f64',
          parameter: ({ name }: { name: string }) => tensors[name]!,
        } as const;
        const apply = layer.create(config, declarer(source, prefix, dModel, place));
        return [apply(tensors.x!, contexts.forLayer(place.index))];
      },
      { maxElements },
    );
    const [first] = mismatches;
    const found =
      first && `${first.input}[${first.index}] is ${first.analytic}, by differences ${first.numeric}`;
    demand(first === undefined, `${mismatches.length} gradients do not fit; ${found}`);
  } finally {
    device.close();
  }
}
