import { closest, normalizeWord } from './edit-distance.js';
import { allKeys, keysOfSection, sectionNames } from './schema-keys.js';

/** Names of other programs for keys of ours, written as `normalizeWord` leaves them. */
const synonyms: Readonly<Record<string, string>> = {
  learningrate: 'optimizer.lr',
  maxlr: 'optimizer.lr',
  beta1: 'optimizer.betas',
  beta2: 'optimizer.betas',
  momentum: 'optimizer.betas',
  wd: 'optimizer.weightDecay',
  maxnorm: 'optimizer.clipNorm',
  gradclip: 'optimizer.clipNorm',
  warmup: 'optimizer.warmupSteps',
  maxsteps: 'job.steps',
  numsteps: 'job.steps',
  iterations: 'job.steps',
  hiddensize: 'model.dModel',
  depth: 'model.numLayers',
  nlayers: 'model.numLayers',
  heads: 'model.numHeads',
  nheads: 'model.numHeads',
  chunksize: 'model.chunk',
  dtype: 'model.precision',
  dataset: 'data.path',
  seqlen: 'data.sequenceLength',
  contextlength: 'data.sequenceLength',
  globalbatchsize: 'data.batchSize',
  gradaccum: 'data.accumulate',
  worldsize: 'parallel.sp',
  contextparallel: 'parallel.sp',
  dataparallel: 'parallel.dp',
  saveevery: 'checkpoint.every',
  savesteps: 'checkpoint.every',
  backend: 'device.engine',
};

/** The `section.key` that was probably meant by `key` in `section`, or null. */
export function suggestKey(section: string, key: string): string | null {
  const word = normalizeWord(key);
  const inSection = keysOfSection(section);
  const same = inSection.find((known) => normalizeWord(known) === word);
  if (same !== undefined) return `${section}.${same}`;
  const elsewhere = allKeys.find((known) => normalizeWord(lastPart(known)) === word);
  if (elsewhere !== undefined) return elsewhere;
  const synonym = Object.hasOwn(synonyms, word) ? synonyms[word] : undefined;
  if (synonym !== undefined) return synonym;
  const near = closest(key, inSection);
  if (near !== null) return `${section}.${near}`;
  const nearElsewhere = closest(key, allKeys.map(lastPart));
  return nearElsewhere === null ? null : (allKeys.find((known) => lastPart(known) === nearElsewhere) ?? null);
}

/** The section that was probably meant, or null. */
export function suggestSection(section: string): string | null {
  return closest(section, sectionNames);
}

function lastPart(key: string): string {
  return key.slice(key.indexOf('.') + 1);
}
