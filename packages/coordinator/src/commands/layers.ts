import type { LayerTransition } from '@longscan/worker';
import { formatTable } from '../format.js';
import type { StrategyCost } from '../plan/strategies.js';
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
    const { hasAttention, objectivesOf, supportsTransition } = await import('@longscan/worker');
    const { loadStrategies } = await import('../plan/strategies.js');
    const strategies = await loadStrategies();
    /** Those that a layer of this class runs under; softmax layers, which have their own, under any of them. */
    const namesFor = (transition: LayerTransition): string[] => {
      const isAble = (strategy: StrategyCost) =>
        transition === 'softmax' || supportsTransition(strategy, transition);
      return strategies.filter(isAble).map(({ name }) => name);
    };
    const attentionStrategies = listUnits('attention-strategies');
    const layers = await Promise.all(listUnits('layers').map(importLayer));
    if (args.json) {
      const rows = layers.map((layer) => {
        const { name, paper, transition, config } = layer;
        return {
          ...{ name, paper, transition, options: config, devices },
          strategies: namesFor(transition),
          attentionStrategies: hasAttention(layer) ? attentionStrategies : [],
          objectives: objectivesOf(layer),
        };
      });
      terminal.printJson(rows);
      return 0;
    }
    const rows = layers.map((layer) => {
      const { name, paper, transition, config } = layer;
      const able = namesFor(transition);
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
