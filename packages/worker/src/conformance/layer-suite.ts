import type { Layer } from '../layer.js';
import type { Strategy } from '../strategy.js';
import { type Check, type CheckResult, runChecks } from './check.js';
import { bidirectionalChecks } from './layer/bidirectional.js';
import { causalityChecks } from './layer/causality.js';
import { claimChecks } from './layer/claims.js';
import { documentChecks } from './layer/documents.js';
import { gradientChecks } from './layer/gradients.js';
import { interfaceChecks } from './layer/interface.js';
import { rankChecks } from './layer/ranks.js';
import { recurrentFormChecks } from './layer/recurrent-form.js';
import { transitionsOf } from './layer/transitions.js';
import { type Variant, variantsOf } from './layer/variant.js';
import { importUnits } from './unit-files.js';

/** What every layer must do, whatever it computes, with its defaults and each value of its choices. */
export function layerChecks(layer: Layer, strategies: readonly Strategy[]): Check[] {
  let variants: Variant[];
  try {
    variants = variantsOf(layer);
    for (const variant of variants) transitionsOf(variant);
  } catch (error) {
    return [
      {
        name: 'it can be created and called, with its defaults and each choice',
        run: () => Promise.reject(error),
      },
    ];
  }
  return variants.flatMap((variant) =>
    [
      ...interfaceChecks(variant),
      ...gradientChecks(variant),
      ...causalityChecks(variant),
      ...recurrentFormChecks(variant),
      ...claimChecks(variant),
      ...rankChecks(variant, strategies),
      ...documentChecks(variant, strategies),
      ...bidirectionalChecks(variant, strategies),
    ].map(({ name, run }) => ({ name: `${variant.label} ~> ${name}`, run })),
  );
}

/** Checks a layer, of the packages or not, under every strategy. */
export async function checkLayer(layer: Layer): Promise<CheckResult[]> {
  const strategies = await importUnits<Strategy>(new URL('../sp/', import.meta.url));
  return runChecks(layerChecks(layer, [...strategies.values()]));
}
