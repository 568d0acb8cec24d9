import { formatTable } from '../format.js';
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
    const strategies = listUnits('sp');
    const layers = await Promise.all(listUnits('layers').map(importLayer));
    if (args.json) {
      const rows = layers.map(({ name, paper, transition, config }) => {
        return { name, paper, transition, options: config, strategies, devices };
      });
      terminal.printJson(rows);
      return 0;
    }
    const rows = layers.map(({ name, paper, transition, config }) => {
      return [name, transition, devices.join(', '), paper, Object.keys(config).join(', ')];
    });
    terminal.print(formatTable([['layer', 'transition', 'devices', 'paper', 'options'], ...rows]));
    terminal.print(`\nEach runs under every strategy: ${strategies.join(', ')}.`);
    return 0;
  },
});
