import { type LayerTransition, supportsTransition } from '@longscan/worker';
import { formatTable } from '../format.js';
import { loadStrategies, type StrategyCost } from '../plan/strategies.js';
import { importLayer, listUnits } from '../units.js';
import { defineCommand } from './command.js';

/** Every op has a CPU kernel; none has a CUDA kernel in this version. */
const devices = ['cpu'] as const;

export default defineCommand({
  name: 'layers',
  summary: 'list the layers',
  positionals: {},
  options: {},
  example: 'layers',
  async run(args, terminal) {
    const strategies = await loadStrategies();
    const layers = await Promise.all(listUnits('layers').map(importLayer));
    if (args.json) {
      const rows = layers.map(({ name, paper, transition, config }) => {
        return {
          ...{ name, paper, transition, options: config, devices },
          strategies: namesFor(transition, strategies),
        };
      });
      terminal.printJson(rows);
      return 0;
    }
    const rows = layers.map(({ name, paper, transition, config }) => {
      const able = namesFor(transition, strategies);
      const under = able.length === strategies.length ? 'all' : able.join(', ');
      return [name, transition, under, devices.join(', '), paper, Object.keys(config).join(', ')];
    });
    terminal.print(
      formatTable([['layer', 'transition', 'strategies', 'devices', 'paper', 'options'], ...rows]),
    );
    terminal.print(`\nStrategies: ${strategies.map(({ name }) => name).join(', ')}.`);
    return 0;
  },
});

/** Strategies that a layer of this class runs under; softmax layers gather keys and values under any of them. */
function namesFor(transition: LayerTransition, strategies: readonly StrategyCost[]): string[] {
  const able = strategies.filter(
    (strategy) => transition === 'softmax' || supportsTransition(strategy, transition),
  );
  return able.map(({ name }) => name);
}
