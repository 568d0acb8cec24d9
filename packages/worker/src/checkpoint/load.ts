import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { LongscanError } from '@longscan/kernels/errors';
import { noCheckpoint, none } from './errors.js';
import { committedFile, manifestFile, optimizerFile, parametersFile } from './files.js';
import { checkpointsFolder, latestCommitted } from './list.js';
import type { Manifest, TensorSignature } from './parse-manifest.js';
import { SafetensorsFile } from './safetensors-reader.js';
import { verifyCheckpoint } from './verify.js';

/** A verified checkpoint whose tensors are read one at a time. The caller closes it. */
export interface OpenCheckpoint {
  readonly dir: string;
  readonly manifest: Manifest;
  readonly parameters: SafetensorsFile;
  readonly optimizer: SafetensorsFile;
  close(): Promise<void>;
}

/** Verifies every byte, then opens. Errors: those of `verifyCheckpoint`, E-ST-*. */
export async function openCheckpoint(dir: string): Promise<OpenCheckpoint> {
  const manifest = await verifyCheckpoint(dir);
  const parameters = await SafetensorsFile.open(path.join(dir, parametersFile));
  try {
    const optimizer = await SafetensorsFile.open(path.join(dir, optimizerFile));
    const close = async () => {
      await Promise.all([parameters.close(), optimizer.close()]);
    };
    return { dir, manifest, parameters, optimizer, close };
  } catch (error) {
    await parameters.close();
    throw error;
  }
}

/**
 * Turns what a user calls a checkpoint into a checkpoint's folder: that folder itself, or a run's folder, whose newest
 * committed one it is. Errors: E-PICKLE, E-CKPT-NONE, E-CKPT-PARTIAL.
 */
export function resolveCheckpoint(given: string): string {
  if (/\.(pt|pth|bin|pkl|pickle|ckpt)$/.test(given)) throw pickle(given);
  if (!existsSync(given))
    throw none(given, 'no such folder', 'name a run, or a folder like runs/latest/checkpoints/step-000500');
  if (!statSync(given).isDirectory()) throw none(given, 'a file', 'name the folder that holds it');
  if (existsSync(checkpointsFolder(given))) return latestCommitted(given).dir;
  if (!holdsSave(given)) throw noCheckpoint(given);
  return path.resolve(given);
}

/** Whether a save has begun in the folder, finished or not. */
function holdsSave(dir: string): boolean {
  const files: readonly string[] = [committedFile, manifestFile, parametersFile, optimizerFile];
  return readdirSync(dir).some((entry) => files.includes(entry));
}

/**
 * Throws E-CKPT-MODEL unless the checkpoint's parameters are those of the model, by name and shape. Dtypes may differ:
 * a precision may be chosen anew.
 */
export function checkSignature(manifest: Manifest, dir: string, model: readonly TensorSignature[]): void {
  const differences = compareSignatures(manifest.signature, model);
  if (differences.length === 0) return;
  const more = differences.length > 5 ? `; and ${differences.length - 5} more` : '';
  throw new LongscanError({
    code: 'E-CKPT-MODEL',
    where: dir,
    found: `${differences.length} parameters differ: ${differences.slice(0, 5).join('; ')}${more}`,
    expected: 'the model of the job',
    fix: 'use the job file that this checkpoint was trained with, or another checkpoint',
    exitCode: 4,
  });
}

function compareSignatures(saved: readonly TensorSignature[], model: readonly TensorSignature[]): string[] {
  const savedShapes = new Map(saved.map(({ name, shape }) => [name, `[${shape.join(', ')}]`]));
  const modelShapes = new Map(model.map(({ name, shape }) => [name, `[${shape.join(', ')}]`]));
  const differences: string[] = [];
  for (const [name, shape] of modelShapes) {
    const found = savedShapes.get(name);
    if (found === undefined) differences.push(`${name} ${shape} is only in the model`);
    else if (found !== shape)
      differences.push(`${name} is ${found} in the checkpoint and ${shape} in the model`);
  }
  for (const [name, shape] of savedShapes)
    if (!modelShapes.has(name)) differences.push(`${name} ${shape} is only in the checkpoint`);
  return differences;
}

function pickle(file: string): LongscanError {
  return new LongscanError({
    code: 'E-PICKLE',
    where: file,
    found: 'a pickle file, which runs code when it is read',
    expected: 'a longscan checkpoint',
    fix: 'convert it to safetensors where you trust it, then use `longscan ckpt import`',
    exitCode: 7,
  });
}
