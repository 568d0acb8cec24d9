import type { Device } from '../device.js';
import { LongscanError } from '../errors.js';
import { empty, type Tensor } from '../tensor.js';
import type { ForwardCall } from './define-op.js';

/** A unit's part of a tensor that holds the same part of every unit, one after the other. */
interface Place {
  readonly whole: Tensor;
  readonly unit: number;
}

/** What one unit adds to a parameter's gradient. */
export type UnitWriter = (unit: number, target: Tensor, accumulate: boolean) => void;

/**
 * Deterministic mode: the tokens of a rank as `count` runs of the same length (canonical units). While a device has
 * these, whatever sees tokens runs unit by unit at exactly a unit's shape, and sums over tokens stay apart by unit until
 * one balanced binary tree adds them: the result does not depend on how many units a rank has.
 *
 * Tensors of tokens are marked: [1, T, …] or [T, …], rows of the units in order. A gradient of any other tensor is a
 * stack [count, …] of what each unit says of it, as long as it has not reached a parameter.
 */
export class TokenUnits {
  private readonly marked = new WeakSet<Tensor>();
  private readonly places = new WeakMap<Tensor, Place>();

  constructor(readonly count: number) {}

  /** Says that a tensor holds rows of tokens. */
  mark<T extends Tensor>(tensor: T): T {
    this.marked.add(tensor);
    return tensor;
  }

  has(tensor: Tensor): boolean {
    return this.marked.has(tensor);
  }

  /** Marks `tensor` if `source` is marked. */
  markLike(source: Tensor, tensor: Tensor): Tensor {
    return this.has(source) ? this.mark(tensor) : tensor;
  }

  map<R>(run: (unit: number) => R): R[] {
    return Array.from({ length: this.count }, (_, unit) => run(unit));
  }

  /** A unit's rows of a tensor of tokens. @throws LongscanError E-SHAPE if it is not made of whole units */
  piece(tensor: Tensor, unit: number): Tensor {
    const axis = tokenAxis(tensor.shape);
    const length = tensor.dim(axis) / this.count;
    if (!Number.isInteger(length)) {
      throw new LongscanError({
        code: 'E-SHAPE',
        where: 'deterministic mode',
        found: `[${tensor.shape.join(', ')}]`,
        expected: `rows of ${this.count} units of the same length`,
        fix: 'give tensors of whole units of tokens',
      });
    }
    return this.slot(tensor, tensor.shape.with(axis, length), unit);
  }

  /** A unit's rows of a tensor of tokens, or all of any other. */
  pieceOrWhole<T extends Tensor | null>(tensor: T, unit: number): T {
    return tensor !== null && this.has(tensor) ? (this.piece(tensor, unit) as T) : tensor;
  }

  /** The `unit`-th of `count` parts, of shape `shape` each. */
  slot(whole: Tensor, shape: readonly number[], unit: number): Tensor {
    const piece = whole.view(shape, unit * (whole.size / this.count));
    piece.requiresGrad = whole.requiresGrad;
    this.places.set(piece, { whole, unit });
    return piece;
  }

  /** The pieces of all units as one tensor of this shape: without a copy where they lie side by side in order. */
  join(pieces: readonly Tensor[], shape: readonly number[]): Tensor {
    const first = pieces[0]!;
    const whole = this.places.get(first)?.whole;
    const isWhole = (piece: Tensor, unit: number) => {
      const place = this.places.get(piece);
      return place?.whole === whole && place?.unit === unit && piece.size * this.count === whole?.size;
    };
    if (whole !== undefined && !whole.isReleased && pieces.every(isWhole)) return whole.view(shape);
    const joined = empty(first.device, shape, first.dtype);
    pieces.forEach((piece, unit) => {
      const { native, compute } = first.device;
      native.copy(compute.id, piece.id, joined.view(piece.shape, unit * piece.size).id);
    });
    return joined;
  }

  /** The pieces of all units as rows of tokens. */
  joinTokens(pieces: readonly Tensor[]): Tensor {
    const { shape } = pieces[0]!;
    const axis = tokenAxis(shape);
    return this.mark(this.join(pieces, shape.with(axis, shape[axis]! * this.count)));
  }

  /** A gradient of `tensor` from what each unit says of it: rows of tokens, or for any other tensor a stack [count, …]. */
  joinGradient(tensor: Tensor, pieces: readonly Tensor[]): Tensor {
    return this.join(pieces, this.has(tensor) ? tensor.shape : [this.count, ...tensor.shape]);
  }

  /** Σ over units as a balanced binary tree; `leaf` gives a fresh tensor, which is overwritten. */
  sum(device: Device, leaf: (unit: number) => Tensor): Tensor {
    const between = (begin: number, end: number): Tensor => {
      if (end - begin === 1) return leaf(begin);
      const middle = (begin + end) / 2;
      const left = between(begin, middle);
      device.scope(() => device.native.axpy(device.compute.id, 1, between(middle, end).id, left.id));
      return left;
    };
    return between(0, this.count);
  }

  /** Adds to a parameter's gradient what all its uses in a backward pass say of it. */
  addGradient(parameter: Tensor, writers: readonly UnitWriter[]): void {
    const { device, shape } = parameter;
    const { dtype } = parameter.gradient!;
    const total = this.sum(device, (unit) => {
      const target = empty(device, shape, dtype);
      device.withoutUnits(() => {
        writers.forEach((write, i) => {
          write(unit, target, i > 0);
        });
      });
      return target;
    });
    device.native.axpy(device.compute.id, 1, total.id, parameter.gradient!.id);
  }

  /**
   * One call for each unit. What the n-th `empty` of each gives is a part of one tensor, so that `join` need not copy.
   */
  calls(call: ForwardCall): ForwardCall[] {
    const { device } = call;
    const depth = device.scopeDepth;
    const wholes: Tensor[] = [];
    return this.map((unit) => {
      let next = 0;
      return {
        ...call,
        empty: (shape, dtype) => {
          // What lives in a scope of its own is scratch, gone before the next unit comes.
          if (device.scopeDepth > depth) return call.empty(shape, dtype);
          if (next === wholes.length) wholes.push(call.empty([this.count, ...shape], dtype));
          const whole = wholes[next++];
          const fits = whole !== undefined && sameShape(whole.shape.slice(1), shape);
          if (!fits || whole.dtype !== (dtype ?? 'f32')) return call.empty(shape, dtype);
          return this.slot(whole, shape, unit);
        },
      };
    });
  }
}

function tokenAxis(shape: readonly number[]): 0 | 1 {
  return shape[0] === 1 && shape.length > 1 ? 1 : 0;
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}
