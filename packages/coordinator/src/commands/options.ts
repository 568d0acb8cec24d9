import type { PositionalOptions } from 'yargs';

/** Flags that several commands share. `nargs: 1` keeps a flag from swallowing the words after its value. */

export const setOption = {
  type: 'string',
  array: true,
  nargs: 1,
  describe: 'set a key of the job, as section.key=value; may be repeated',
  default: [] as string[],
} as const;

export const launcherOption = {
  type: 'string',
  nargs: 1,
  choices: ['local', 'ssh', 'slurm', 'k8s'],
  describe: 'what starts the ranks',
} as const;

export const allowCodeChangeOption = {
  type: 'boolean',
  default: false,
  describe: 'resume although a layer file has changed since',
} as const;

export const jobPositional = {
  type: 'string',
  demandOption: true,
  describe: 'job file (.toml, .yaml or .json)',
} as const satisfies PositionalOptions;

export const runPositional = {
  type: 'string',
  demandOption: true,
  describe: 'run folder, name of a run, or latest',
} as const satisfies PositionalOptions;
