import { dirname, resolve } from 'node:path';
import { listLaunchers } from '../launcher.js';
import { importLayer, listUnits } from '../units.js';
import { checkJob, type LoadedJob } from './check-job.js';
import type { JobDocument } from './document.js';
import type { InstalledUnits } from './installed-units.js';
import { type Overrides, readEnvironment, readOverrides } from './overrides.js';
import { readDocument } from './read-document.js';

/** A job as a script writes it: the contents of a job file, defaults left out. */
export type JobInput = Readonly<Record<string, unknown>>;

export interface LoadJobOptions {
  /** `--set` texts, or values by dotted key; they win over everything. */
  readonly overrides?: Overrides;
  readonly env?: NodeJS.ProcessEnv;
  /** False where no text will be read: it need not be there. Default: true. */
  readonly readsText?: boolean;
}

/**
 * Makes a JobSpec of a job file (or of an object): defaults < file < environment < overrides, checked, with paths
 * made absolute (they count from the job file's folder, or from the current one without a file).
 * @throws LongscanError or JobErrors with every problem found; nothing has been started or written by then
 */
export async function loadJob(
  jobOrPath: string | JobInput,
  options: LoadJobOptions = {},
): Promise<LoadedJob> {
  const overrides = [
    ...readEnvironment(options.env ?? process.env),
    ...readOverrides(options.overrides ?? []),
  ];
  const isPath = typeof jobOrPath === 'string';
  const document = isPath ? readDocument(jobOrPath) : fromScript(jobOrPath);
  const baseDir = isPath ? dirname(resolve(jobOrPath)) : process.cwd();
  return checkJob(document, overrides, baseDir, installedUnits(), options.readsText);
}

function fromScript(value: JobInput): JobDocument {
  return { file: null, value, places: new Map() };
}

function installedUnits(): InstalledUnits {
  return {
    strategies: listUnits('sp'),
    attentionStrategies: listUnits('attention-strategies'),
    launchers: listLaunchers(),
    layers: { names: listUnits('layers'), load: importLayer },
  };
}
