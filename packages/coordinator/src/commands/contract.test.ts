import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { commands } from './index.js';
import { parseCommandLine } from './parse.js';

/** Other programs call these: a line may be added, but changing one needs an entry in the changelog. */
const contract = [
  'doctor <job> --set --json',
  'train <job> --set --run-dir --resume --launcher --trace --allow-code-change --json',
  'resume <run> --set --launcher --trace --allow-code-change --json',
  'plan <job> --set --fabric --compute --print --json',
  'generate <checkpoint> --prompt --tokens --temperature --device --seed --json',
  'status <run> --json',
  'logs <run> --rank --lines --json',
  'report <run> --json',
  'stop <run> --json',
  'layers --json',
  'layers check <file> --json',
  'layers new <file> --json',
  'bench kernels --device --op --shape --dtype --beside --rounds --json',
  'bench collectives <job> --set --sp --device --sizes --min-bytes --max-bytes --transition --rounds --save --json',
  'bench recurrences <job> --set --sp --device --op --shape --dtype --strategy --rounds --json',
  'bench step <job> --set --device --steps --warmup --trace --out --save --json',
  'scale <job> --sp --mode --lengths --out --steps --warmup --repeats --compute --again --set --json',
  'simulate <job> --sp --mode --strategy --fabric --compute --out --papers --set --json',
  'ckpt ls <run> --json',
  'ckpt verify <checkpoint> --json',
];

test('the commands and flags are those of the contract', () => {
  const found = commands.map(({ name, positionals, options }) => {
    const words = Object.keys(positionals).map((positional) => `<${positional}>`);
    const flags = [...Object.keys(options), 'json'].map((flag) => `--${flag}`);
    return [name, ...words, ...flags].join(' ');
  });
  assert.equal(found, contract);
});

test("every command's help has its flags and an example that parses", async () => {
  for (const command of commands) {
    const help = await parseCommandLine([...command.name.split(' '), '--help'], commands);
    assert.ok(help.kind === 'text');
    assert.ok(help.text.includes(`longscan ${command.example}`), `${command.name}:\n${help.text}`);
    for (const flag of Object.keys(command.options)) assert.ok(help.text.includes(`--${flag}`), flag);

    const words = [...command.example.matchAll(/"([^"]*)"|(\S+)/g)].map(
      ([, quoted, word]) => quoted ?? word ?? '',
    );
    const parsed = await parseCommandLine(words, commands);
    assert.ok(parsed.kind === 'command' && parsed.command === command, command.example);
  }
});

test.run();
