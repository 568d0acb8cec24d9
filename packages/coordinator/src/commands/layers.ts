import { hasAttention, type LayerTransition, objectivesOf, supportsTransition } from '@longscan/worker';
import { formatTable } from '../format.js';
import { loadStrategies, type StrategyCost } from '../plan/strategies.js';
import { importLayer, listUnits } from '../units.js';
import { defineCommand } from './command.js';

/** Layers are made of ops, and each of those has a kernel for both. */
const devices = ['cpu', 'cuda'] as const;

export default defineCommand({
  name: 'layers',
  summary: 'list the layers',
  positionals: {},
  options: {},
  example: 'layers',
  async run(args, terminal) {
    const strategies = await loadStrategies();
    const attentionStrategies = listUnits('attention-strategies');
    const layers = await Promise.all(listUnits('layers').map(importLayer));
    if (args.json) {
      const rows = layers.map((layer) => {
        const { name, paper, transition, config } = layer;
        return {
          ...{ name, paper, transition, options: config, devices },
          strategies: namesFor(transition, strategies),
          attentionStrategies: hasAttention(layer) ? attentionStrategies : [],
          objectives: objectivesOf(layer),
        };
      });
      terminal.printJson(rows);
      return 0;
    }
    const rows = layers.map((layer) => {
      const { name, paper, transition, config } = layer;
      const able = namesFor(transition, strategies);
      const under = able.length === strategies.length ? 'all' : able.join(', ');
      const objectives = objectivesOf(layer).join(', ');
      return [name, transition, under, objectives, devices.join(', '), paper, Object.keys(config).join(', ')];
    });
    terminal.print(
      formatTable([
        ['layer', 'transition', 'strategies', 'objectives', 'devices', 'paper', 'options'],
        ...rows,
      ]),
    );
    terminal.print(`\nStrategies: ${strategies.map(({ name }) => name).join(', ')}.`);
    terminal.print(`For softmax attention: ${attentionStrategies.join(', ')}.`);
    return 0;
  },
});

/** Strategies that a layer of this class runs under; softmax layers, which have their own, under any of them. */
function namesFor(transition: LayerTransition, strategies: readonly StrategyCost[]): string[] {
  const able = strategies.filter(
    (strategy) => transition === 'softmax' || supportsTransition(strategy, transition),
  );
  return able.map(({ name }) => name);
}
