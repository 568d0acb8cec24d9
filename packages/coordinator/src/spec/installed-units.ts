import type { LayerRegister } from './resolve-layers.js';

/** What a job may name. */
export interface InstalledUnits {
  readonly layers: LayerRegister;
  readonly strategies: readonly string[];
  readonly attentionStrategies: readonly string[];
  readonly launchers: readonly string[];
}
