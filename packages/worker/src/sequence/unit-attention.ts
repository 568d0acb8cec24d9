import { attention, chunkEnds, type Tensor, type TokenUnits } from '@longscan/kernels';
import type { SequenceAttentionInputs, SequenceAttentionOptions } from './attend-alone.js';
import type { AttentionPlace } from './attention.js';
import { sliceStart } from './positions.js';
import { live } from './received.js';
import { gatherForUnits } from './unit-gather.js';
import { cutUnits, joinUnits } from './unit-pieces.js';

/**
 * Softmax attention in deterministic mode: the queries of each unit over the keys from the first that it can see, in the
 * order of the sequence. Conventions are those of `sequenceAttention`.
 */
export function attentionByUnit(
  units: TokenUnits,
  { q, k, v }: SequenceAttentionInputs,
  { scale, window, chunk }: SequenceAttentionOptions,
  { group, positions, received = live }: AttentionPlace,
): Tensor {
  const { device } = q;
  const start = sliceStart(group);
  const slices = group?.slices ?? [{ start: 0, length: q.dim(1) }];
  const unitLength = q.dim(1) / units.count;
  const unitStart = (unit: number) => start + unit * unitLength;
  const ownPositions = units.map((unit) => units.pieceOrWhole(positions, unit));
  const queries = cutUnits(units, q);
  const common = scale !== undefined && { scale };
  if (chunk !== undefined) {
    const [ownKeys, ownValues] = [cutUnits(units, k), cutUnits(units, v)];
    const gather = (own: readonly Tensor[]) => {
      const ends = device.withoutUnits(() =>
        own.map((x, unit) =>
          chunkEnds(x, { chunk, tokenOffset: unitStart(unit), positions: ownPositions[unit]! }),
        ),
      );
      const chunks = slices.map((slice) => ({ start: slice.start / chunk, length: slice.length / chunk }));
      const options = { units, group, slices: chunks, reach: Infinity, received };
      return gatherForUnits(joinUnits(units, ends), options);
    };
    const [keys, values] = [gather(ownKeys), gather(ownValues)];
    return attend((unit) =>
      attention(
        {
          q: queries[unit]!,
          k: keys[unit]!,
          v: values[unit]!,
          kSelf: ownKeys[unit]!,
          vSelf: ownValues[unit]!,
        },
        { ...common, positions: ownPositions[unit]!, chunk, keyOffset: unitStart(unit) },
      ),
    );
  }
  const reach = window === undefined ? Infinity : window - 1;
  const options = { units, group, slices, reach, received };
  const [keys, values] = [gatherForUnits(k, options), gatherForUnits(v, options)];
  return attend((unit) =>
    attention(
      { q: queries[unit]!, k: keys[unit]!, v: values[unit]!, kSelf: null, vSelf: null },
      {
        ...common,
        ...(window !== undefined && { window }),
        positions: ownPositions[unit]!,
        keyOffset: keys[unit]!.dim(1) - unitLength,
      },
    ),
  );

  function attend(run: (unit: number) => Tensor): Tensor {
    return joinUnits(
      units,
      device.withoutUnits(() => units.map(run)),
    );
  }
}
