import type { Tensor, TokenUnits } from '@longscan/kernels';

/** The rows of each unit, as tensors of their own that ops see without units. */
export function cutUnits(units: TokenUnits, x: Tensor): Tensor[] {
  const pieces = units.map((unit) => units.piece(x, unit));
  if (x.device.tape === null || !x.requiresGrad) return pieces;
  x.device.tape.record({
    name: 'cut-units',
    inputs: [x],
    outputs: pieces,
    saved: [],
    backward: (gradients) => [
      units.joinGradient(
        x,
        gradients.map((gradient) => gradient!),
      ),
    ],
  });
  return pieces;
}

/** Its inverse. */
export function joinUnits(units: TokenUnits, pieces: readonly Tensor[]): Tensor {
  const whole = units.joinTokens(pieces);
  const { tape } = whole.device;
  if (tape === null || !pieces.some((piece) => piece.requiresGrad)) return whole;
  tape.record({
    name: 'join-units',
    inputs: pieces,
    outputs: [whole],
    saved: [],
    backward: ([gradient]) => units.map((unit) => units.piece(gradient!, unit)),
  });
  return whole;
}
