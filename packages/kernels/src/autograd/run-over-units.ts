import { Tensor } from '../tensor.js';
import type { SeveralOutputsDefinition } from './define-op.js';
import { backwardCall, forwardCall, type OpInputs, presentNames } from './op-call.js';
import type { Tape } from './tape.js';
import type { TokenUnits } from './token-units.js';

/** One forward run: of a unit, or of all there is. */
interface Run<A, S> {
  readonly outputs: readonly Tensor[];
  readonly save: S;
  readonly attributes: A;
}

/**
 * An op in deterministic mode: its rules run once for every unit of the tokens among its inputs. Gradients of inputs that
 * are not tokens are stacks over units; what a rule adds to a parameter by itself is handed to the tape by unit.
 */
export function runOverUnits<I extends OpInputs, A, S extends OpInputs>(
  definition: SeveralOutputsDefinition<I, A, S>,
  units: TokenUnits,
  inputs: I,
  attributes: A,
): readonly Tensor[] {
  const names = presentNames(inputs);
  const tensors: Tensor[] = names.map((name) => inputs[name]!);
  const { device } = tensors[0]!;
  const kind = definition.units ?? 'each';
  const ofTokens = tensors.some((tensor) => units.has(tensor));
  const runs = ofTokens && kind !== 'all' ? eachUnit() : [whole()];
  const outputs = runs[0]!.outputs.map((_, i) => joined(runs.map((run) => run.outputs[i]!)));
  const { tape } = device;
  if (tape === null || !tensors.some((tensor) => tensor.requiresGrad)) return outputs;

  tape.record({
    name: definition.name,
    inputs: tensors,
    outputs,
    saved: runs.flatMap(({ save, attributes }) => [...tensorsOf(save), ...tensorsOf(attributes)]),
    backward: (gradients) =>
      ofTokens && kind === 'all' ? backWhole(gradients) : backByUnit(gradients, tape),
  });
  return outputs;

  /** One output, of the parts that the runs gave; a tensor of its own. */
  function joined(parts: readonly Tensor[]): Tensor {
    const first = parts[0]!;
    const own = () => (tensors.includes(first) ? first.view(first.shape) : first);
    if (!ofTokens) return own();
    if (kind === 'all') return units.mark(own());
    return kind === 'sum' ? units.sum(device, (unit) => parts[unit]!) : units.joinTokens(parts);
  }

  function whole(): Run<A, S> {
    return { ...definition.forward(forwardCall(device), inputs, attributes), attributes };
  }

  function eachUnit(): Run<A, S>[] {
    const calls = units.calls(forwardCall(device));
    return device.withoutUnits(() =>
      calls.map((call, unit) => {
        const own = cutTensors(units, attributes, unit);
        return { ...definition.forward(call, cutTensors(units, inputs, unit), own), attributes: own };
      }),
    );
  }

  function backWhole(gradients: readonly (Tensor | null)[]): (Tensor | null)[] {
    const call = backwardCall<I>(forwardCall(device), inputs, () => undefined);
    const results = definition.backward(call, runs[0]!.save, gradients, attributes);
    return names.map((name) => results[name] ?? null);
  }

  function backByUnit(gradients: readonly (Tensor | null)[], tape: Tape): (Tensor | null)[] {
    const ownGradients = (unit: number) =>
      gradients.map((gradient, i) => {
        if (kind === 'sum' || gradient === null) return gradient;
        return ofTokens ? units.piece(gradient, unit) : units.slot(gradient, outputs[i]!.shape, unit);
      });
    const parameters = new ParameterWrites(units);
    const calls = units.calls(forwardCall(device));
    const results = device.withoutUnits(() =>
      calls.map((call, unit) => {
        const { save, attributes } = runs[unit] ?? runs[0]!;
        const ownCall = backwardCall<I>(call, inputs, (parameter, reads, write) =>
          parameters.add(parameter, unit, reads, write),
        );
        return definition.backward(ownCall, save, ownGradients(unit), attributes);
      }),
    );
    parameters.handTo(tape);
    return names.map((name) => {
      const found = results.map((result) => result[name] ?? null).filter((one) => one !== null);
      return found.length === 0 ? null : units.joinGradient(inputs[name]!, found);
    });
  }
}

type Write = (target: Tensor, accumulate: boolean) => void;

/** What the backward rule of one op adds to parameters, by parameter and unit. */
class ParameterWrites {
  private readonly byParameter = new Map<Tensor, { reads: Tensor[]; writes: Write[][] }>();

  constructor(private readonly units: TokenUnits) {}

  add(parameter: Tensor, unit: number, reads: readonly Tensor[], write: Write): void {
    const entry = this.byParameter.get(parameter) ?? { reads: [], writes: this.units.map(() => []) };
    this.byParameter.set(parameter, entry);
    entry.reads.push(...reads);
    entry.writes[unit]!.push(write);
  }

  handTo(tape: Tape): void {
    for (const [parameter, { reads, writes }] of this.byParameter) {
      tape.deferByUnit(parameter, reads, (unit, target, accumulate) => {
        writes[unit]!.forEach((write, i) => {
          write(target, accumulate || i > 0);
        });
      });
    }
  }
}

/** The same object with each tensor of tokens cut to one unit. */
function cutTensors<T>(units: TokenUnits, values: T, unit: number): T {
  if (values === null || typeof values !== 'object') return values;
  const cut = Object.entries(values).map(([name, value]) => [
    name,
    isTensor(value) ? units.pieceOrWhole(value, unit) : value,
  ]);
  return Object.fromEntries(cut) as T;
}

function tensorsOf(values: unknown): Tensor[] {
  return values === null || typeof values !== 'object' ? [] : Object.values(values).filter(isTensor);
}

function isTensor(value: unknown): value is Tensor {
  return value instanceof Tensor;
}
