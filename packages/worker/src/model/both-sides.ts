import {
  activation as activate,
  add,
  concatLast,
  flip,
  scaleHeads,
  splitLast,
  type Tensor,
  zeros,
} from '@longscan/kernels';
import type { LayerContext } from '../layer.js';

type ShortRange = Pick<LayerContext, 'causalConv1d' | 'tokenShift'>;

/**
 * Convolutions and token shifts for a model that reads in both directions; `ahead` is `back` for tokens in reverse order.
 *
 * A convolution is centred, as Hydra's (https://arxiv.org/abs/2407.09941): of its W taps ⌊(W - 1) / 2⌋ are on tokens after
 * its own, in the order of time as ever. A shift gives half of the channels the token before and the other half the one
 * after, which is Vision-RWKV's Q-Shift (https://arxiv.org/abs/2403.02308) along one axis.
 */
export function toBothSides(back: ShortRange, ahead: ShortRange): ShortRange {
  return {
    causalConv1d(x, weight, options = {}) {
      const [D, W] = weight.shape as [number, number];
      const numAhead = Math.floor((W - 1) / 2);
      if (numAhead === 0) return back.causalConv1d(x, weight, options);
      const { bias = null, activation, unitHeads } = options;
      const [upToOwn, after] = splitLast(weight, [W - numAhead, numAhead]) as [Tensor, Tensor];
      // In reverse order the nearest token comes last, before the own one, which has been counted.
      const ownTap = zeros(x.device, [D, 1], weight.dtype);
      const turned = ahead.causalConv1d(flip(x), concatLast([flip(after), ownTap]));
      const y = add({ a: back.causalConv1d(x, upToOwn, { bias }), b: flip(turned) });
      const activated = activation === undefined ? y : activate(activation, y);
      return unitHeads === undefined ? activated : scaleHeads(activated, unitHeads);
    },
    tokenShift(x) {
      const D = x.dim(2);
      if (D === 1) return back.tokenShift(x);
      const sizes = [Math.ceil(D / 2), Math.floor(D / 2)];
      const [first, second] = splitLast(x, sizes) as [Tensor, Tensor];
      return concatLast([back.tokenShift(first), flip(ahead.tokenShift(flip(second)))]);
    },
  };
}
