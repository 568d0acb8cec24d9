import {
  type Device,
  type DType,
  emptyLike,
  fill,
  LongscanError,
  type RecurrenceInputs,
  swapAxes,
  type Tensor,
} from '@longscan/kernels';

export interface Token<I extends RecurrenceInputs> {
  /** [B, H, …] each */
  readonly inputs: I;
  /** i32 [B], 1 where a document starts with this token; null: one document. */
  readonly reset: Tensor | null;
}

/** The inputs of a slice token by token; leaves of the tape that steps are recorded on. */
export class TokenSlice<I extends RecurrenceInputs> {
  /** T */
  readonly length: number;
  readonly device: Device;
  readonly dtype: DType;
  private readonly columns: Readonly<Record<string, Tensor | null>>;
  private readonly gradients: Readonly<Record<string, Tensor | null>> | null;
  private readonly resetColumns: Tensor | null;

  /** `wantGradients`: those of the inputs are gathered while steps are differentiated. */
  constructor(inputs: I, resets: Tensor | null, wantGradients: boolean) {
    const [first] = tensorsOf(inputs) as [Tensor];
    this.length = first.dim(1);
    this.device = first.device;
    this.dtype = first.dtype;
    this.columns = mapTensors(inputs, swapAxes);
    this.gradients = wantGradients
      ? mapTensors(this.columns, (column) => {
          const gradient = emptyLike(column);
          fill(gradient, 0);
          return gradient;
        })
      : null;
    this.resetColumns = resets && swapAxes(resets);
  }

  token(t: number): Token<I> {
    const inputs = Object.entries(this.columns).map(([name, column]) => {
      if (column === null) return [name, null];
      const leaf = column.view(column.shape.slice(1), t * (column.size / this.length));
      const gradient = this.gradients?.[name] ?? null;
      if (gradient !== null) {
        leaf.requiresGrad = true;
        leaf.gradient = gradient.view(leaf.shape, t * leaf.size);
      }
      return [name, leaf];
    });
    const reset = this.resetColumns;
    return {
      inputs: Object.fromEntries(inputs) as unknown as I,
      reset: reset?.view([reset.dim(1)], t * reset.dim(1)) ?? null,
    };
  }

  /** The gradients of the inputs, [B, T, H, …]. */
  inputGradients(): { [K in keyof I]?: Tensor | null } {
    return mapTensors(this.gradients ?? {}, swapAxes) as { [K in keyof I]?: Tensor | null };
  }
}

/** [B, T, H] that all inputs of a recurrence begin with. @throws LongscanError E-SHAPE */
export function leadingDims(name: string, inputs: RecurrenceInputs): readonly [number, number, number] {
  const [first] = tensorsOf(inputs);
  const expected = (first?.shape ?? []).slice(0, 3);
  for (const [input, tensor] of Object.entries(inputs)) {
    if (tensor === null || (expected.length === 3 && tensor.shape.slice(0, 3).join() === expected.join()))
      continue;
    throw new LongscanError({
      code: 'E-SHAPE',
      where: `recurrence ${name}`,
      found: `input ${input} of shape [${tensor.shape.join(', ')}]`,
      expected: expected.length === 3 ? `[${expected.join(', ')}, …]` : '[B, T, H, …]',
      fix: `give ${input} these leading dims`,
    });
  }
  return expected as unknown as readonly [number, number, number];
}

function tensorsOf(inputs: RecurrenceInputs): Tensor[] {
  return Object.values(inputs).filter((tensor) => tensor !== null);
}

function mapTensors(
  tensors: Readonly<Record<string, Tensor | null>>,
  body: (tensor: Tensor) => Tensor,
): Record<string, Tensor | null> {
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, tensor && body(tensor)]));
}
