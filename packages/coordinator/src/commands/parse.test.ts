import type { LongscanError } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Command, defineCommand } from './command.js';
import { nonNegativeNumber, place, placeAfterEquals, setOption, wholeNumber } from './options.js';
import { parseCommandLine } from './parse.js';

const none = { positionals: {}, options: {}, run: async () => 0 };
const commands: readonly Command[] = [
  defineCommand({
    ...none,
    name: 'train',
    summary: 'train a job',
    positionals: { job: { type: 'string', demandOption: true, describe: 'a job file' } },
    options: {
      set: setOption,
      'run-dir': place('--run-dir', 'a folder'),
      resume: placeAfterEquals('--resume', 'a run'),
      dry: { type: 'boolean' },
      trace: { type: 'string' },
      seed: wholeNumber('--seed', 'a seed', 10),
      temperature: { ...nonNegativeNumber('--temperature', 'heat'), default: '1' },
    },
    example: 'train job.toml',
  }),
  defineCommand({ ...none, name: 'layers', summary: 'list them', example: 'layers' }),
  defineCommand({
    ...none,
    name: 'layers check',
    summary: 'check one',
    positionals: { file: { type: 'string', demandOption: true } },
    example: 'layers check a.ts',
  }),
  defineCommand({
    ...none,
    name: 'ckpt ls',
    summary: 'list checkpoints',
    options: {
      order: {
        type: 'string',
        nargs: 1,
        demandOption: true,
        choices: ['rising', 'falling'],
        describe: 'of steps',
      },
    },
    example: 'ckpt ls --order rising',
  }),
];

async function argsOf(...argv: string[]): Promise<Record<string, unknown>> {
  const parsed = await parseCommandLine(argv, commands);
  if (parsed.kind === 'text') throw new Error(parsed.text);
  return { command: parsed.command.name, ...parsed.args };
}

async function errorOf(...argv: string[]): Promise<string> {
  const error: LongscanError = await argsOf(...argv).then(
    () => assert.unreachable(`${argv.join(' ')} was accepted`),
    (reason) => reason,
  );
  assert.is(error.exitCode, 2);
  return error.message;
}

test('positionals and flags, in any order', async () => {
  const args = await argsOf(
    'train',
    '--set',
    'a.b=1',
    'job.toml',
    '--set=c.d=-2',
    '--run-dir',
    'x',
    '--json',
  );
  assert.is(args.command, 'train');
  assert.is(args.job, 'job.toml');
  assert.equal(args.set, ['a.b=1', 'c.d=-2']);
  assert.is(args['run-dir'], 'x');
  assert.is(args.json, true);
  assert.is(args.temperature, 1);
  assert.is(args.seed, undefined);
});

test('values stay texts: no numbers, no paths through dots, no negation', async () => {
  const args = await argsOf('train', '007', '--run-dir', '1e3');
  assert.is(args.job, '007');
  assert.is(args['run-dir'], '1e3');
  assert.match(await errorOf('train', 'j', '--no-json'), 'unknown flag --no-json');
  assert.match(await errorOf('train', 'j', '--run-dir.x', '1'), 'unknown flag --run-dir.x');
});

test('a flag that is on or off takes no value, and no word is an empty path', async () => {
  assert.is((await argsOf('train', 'j', '--json=true')).json, true);
  assert.is((await argsOf('train', 'j', '--json=false')).json, false);
  for (const value of ['3', 'True', 'yes', ''])
    assert.match(
      await errorOf('train', 'j', `--json=${value}`),
      `error[E-CLI-USAGE] longscan train: --json with the value "${value}", expected the flag alone`,
    );
  assert.match(await errorOf('train', 'j', '--dry=1'), '--dry with the value "1"');
  assert.match(
    await errorOf('train', ''),
    /longscan train: <job> is empty, expected a job file.*\. Fix: name one; if it comes from a variable/,
  );
  assert.match(await errorOf('train', 'j', '--resume='), '--resume "" where a path is expected');
});

test('--resume and --trace take a value only after =', async () => {
  assert.is((await argsOf('train', '--resume', 'job.toml')).resume, 'auto');
  assert.is((await argsOf('train', '--resume', 'job.toml')).job, 'job.toml');
  assert.is((await argsOf('train', 'job.toml', '--resume=runs/a')).resume, 'runs/a');
  assert.is((await argsOf('train', 'job.toml')).resume, undefined);
  assert.is((await argsOf('train', '--trace', 'job.toml')).trace, '5-10');
  assert.is((await argsOf('train', '--trace', 'job.toml')).job, 'job.toml');
  assert.is((await argsOf('train', 'job.toml', '--trace=7')).trace, '7');
  assert.is((await argsOf('train', 'job.toml')).trace, undefined);
});

test('a group is its own command and has others below it', async () => {
  assert.is((await argsOf('layers')).command, 'layers');
  assert.is((await argsOf('layers', '--json')).json, true);
  const check = await argsOf('layers', 'check', './a.ts');
  assert.equal([check.command, check.file], ['layers check', './a.ts']);
  assert.is((await argsOf('ckpt', 'ls', '--order', 'rising')).command, 'ckpt ls');
});

test('wrong words: what was meant', async () => {
  const messages: [string[], string][] = [
    [[], 'error[E-CLI-USAGE] longscan: no command given. Fix: longscan --help shows what it takes'],
    [['--json'], 'error[E-CLI-USAGE] longscan: no command given. Fix: longscan --help shows what it takes'],
    [['--hlep'], 'error[E-CLI-UNKNOWN] longscan: unknown flag --hlep. Fix: did you mean --help?'],
    [['--json', '--hlep'], 'error[E-CLI-UNKNOWN] longscan: unknown flag --hlep. Fix: did you mean --help?'],
    [
      ['--run-dir=x'],
      'error[E-CLI-USAGE] longscan: no command given. Fix: longscan --help shows what it takes',
    ],
    [['--'], 'error[E-CLI-USAGE] longscan: no command given. Fix: longscan --help shows what it takes'],
    [
      ['trian', 'x'],
      'error[E-CLI-COMMAND] longscan trian: no such command, expected one of train, layers, ckpt. Fix: did you mean longscan train?',
    ],
    [
      ['zzz'],
      'error[E-CLI-COMMAND] longscan zzz: no such command, expected one of train, layers, ckpt. Fix: longscan --help lists what each does',
    ],
    [
      ['layers', 'chekc', 'x'],
      'error[E-CLI-COMMAND] longscan layers chekc: no such command, expected one of layers check. Fix: did you mean longscan layers check?',
    ],
    [
      ['ckpt'],
      'error[E-CLI-USAGE] longscan ckpt: ckpt needs one of ls. Fix: longscan ckpt --help shows what it takes',
    ],
    [
      ['train', 'j', '--rundir', 'x'],
      'error[E-CLI-UNKNOWN] longscan train: unknown flag --rundir. Fix: did you mean --run-dir?',
    ],
    [
      ['train', 'j', '--bacth=3'],
      'error[E-CLI-UNKNOWN] longscan train: unknown flag --bacth. Fix: longscan train --help shows what it takes',
    ],
    [
      ['train', 'j', 'k'],
      'error[E-CLI-UNKNOWN] longscan train: unexpected argument k. Fix: longscan train --help shows what it takes',
    ],
    [
      ['train'],
      'error[E-CLI-USAGE] longscan train: <job> is missing: a job file. Fix: longscan train --help shows what it takes',
    ],
    [
      ['ckpt', 'ls'],
      'error[E-CLI-USAGE] longscan ckpt ls: --order is missing: of steps. Fix: longscan ckpt ls --help shows what it takes',
    ],
    [
      ['ckpt', 'ls', '--order', 'rissing'],
      'error[E-CLI-USAGE] longscan ckpt ls: --order "rissing" where one of rising, falling is expected. Fix: did you mean rising?',
    ],
    [
      ['train', 'j', '--run-dir'],
      'error[E-CLI-USAGE] longscan train: --run-dir without a value. Fix: longscan train --help shows what it takes',
    ],
    [
      ['train', 'j', '--run-dir', 'a', '--run-dir', 'b'],
      'error[E-CLI-USAGE] longscan train: --run-dir given more than once. Fix: longscan train --help shows what it takes',
    ],
    [
      ['train', 'j', '--run-dir', ''],
      'error[E-CLI-USAGE] longscan train: --run-dir "" where a path is expected. Fix: longscan train --help shows what it takes',
    ],
    [
      ['ckpt', 'ls', '--order', 'rising', '--order', 'falling'],
      'error[E-CLI-USAGE] longscan ckpt ls: --order given more than once. Fix: give it once',
    ],
    [
      ['train', 'j', '--seed', '11'],
      'error[E-CLI-USAGE] longscan train: --seed "11" where a whole number >= 0 and <= 10 is expected. Fix: longscan train --help shows what it takes',
    ],
    [
      ['train', 'j', '--temperature', '-1'],
      'error[E-CLI-USAGE] longscan train: --temperature "-1" where a number >= 0 is expected. Fix: longscan train --help shows what it takes',
    ],
    [
      ['train', 'j', '--seed=1', '--seed=2'],
      'error[E-CLI-USAGE] longscan train: --seed given more than once. Fix: longscan train --help shows what it takes',
    ],
  ];
  for (const [argv, message] of messages) assert.is(await errorOf(...argv), message);
});

test('the language of the machine does not change messages', async () => {
  const { LC_ALL } = process.env;
  process.env.LC_ALL = 'de_DE.UTF-8';
  try {
    assert.match(await errorOf('train', 'j', '--rundir', 'x'), 'did you mean --run-dir?');
  } finally {
    if (LC_ALL === undefined) delete process.env.LC_ALL;
    else process.env.LC_ALL = LC_ALL;
  }
});

test('help and version are texts', async () => {
  const help = await parseCommandLine(['train', '--help'], commands);
  assert.ok(help.kind === 'text');
  for (const part of ['longscan train <job>', '--run-dir', '--json', 'longscan train job.toml']) {
    assert.ok(help.text.includes(part), part);
  }
  assert.equal(await parseCommandLine(['--version'], commands), { kind: 'text', text: '0.1.0' });
});

test.run();
