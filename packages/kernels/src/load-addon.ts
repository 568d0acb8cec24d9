import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { LongscanError } from './errors.js';
import type { Native } from './native.js';

/** The compiled addon as it loads: the functions, and each one's number of arguments. */
export type Addon = Native & { readonly arities: Readonly<Record<string, number>> };

/** `LONGSCAN_ADDON`, if set, is the only place looked at. */
function candidatePaths(): string[] {
  const override = process.env.LONGSCAN_ADDON;
  return override ? [override] : [fileURLToPath(new URL('../build/longscan.node', import.meta.url))];
}

let loaded: Native | null = null;

/**
 * Opens the native library, once per JavaScript thread and only at the first tensor.
 * @throws LongscanError E-ADDON with every path tried and the remedy.
 */
export function loadAddon(): Native {
  loaded ??= wrapErrors(openAddon());
  return loaded;
}

/** The addon without the error wrapper, for the test that compares declarations. */
export function openAddon(): Addon {
  const tried: string[] = [];
  for (const path of candidatePaths()) {
    if (!existsSync(path)) {
      tried.push(`${path} (no such file)`);
      continue;
    }
    try {
      return createRequire(import.meta.url)(path) as Addon;
    } catch (error) {
      tried.push(`${path} (${error instanceof Error ? error.message : String(error)})`);
    }
  }
  throw new LongscanError({
    code: 'E-ADDON',
    where: 'native addon',
    found: `not loadable from ${tried.join(', ')}`,
    fix: 'build it with `npm run setup`',
    exitCode: 3,
  });
}

/** What the addon puts between what was found and what to do about it: its errors are a code and a text. */
const remedy = '. Fix: ';

/** An error of the addon (`code` and a message that starts with the function) as a LongscanError, in its parts. */
function toLongscanError(error: unknown): unknown {
  if (error instanceof LongscanError || !(error instanceof Error)) return error;
  const code = (error as { code?: unknown }).code;
  if (typeof code !== 'string' || !code.startsWith('E-')) return error;
  const [found = '', ...fixes] = error.message.split(remedy);
  return new LongscanError({
    code,
    where: 'native',
    found,
    // An error that another one wraps has its remedy in front.
    ...(fixes.length > 0 && { fix: fixes.join(remedy) }),
    exitCode: exitCodeOf(code),
    cause: error,
  });
}

function exitCodeOf(code: string): number {
  if (code === 'E-ONEDNN' || code === 'E-CUBLAS' || code === 'E-NCCL' || code === 'E-MEMORY') return 3;
  if (code === 'E-PEER-MEMORY' || code === 'E-SYSTEM') return 3;
  if (code === 'E-CUDA-DRIVER' || code === 'E-CUDA-DEVICE' || code === 'E-CUDA-LIBRARY') return 3;
  if (code === 'E-CUDA-KERNEL') return 2;
  if (code.startsWith('E-DATA')) return 4;
  if (code === 'E-AUTH') return 7;
  return code.startsWith('E-COMM') ? 8 : 1;
}

function wrapErrors(addon: Addon): Native {
  const wrapped: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(addon)) {
    if (typeof value !== 'function') continue;
    const call = value as (...args: unknown[]) => unknown;
    wrapped[name] = (...args: unknown[]) => {
      try {
        const result = call(...args);
        return result instanceof Promise
          ? result.catch((error) => Promise.reject(toLongscanError(error)))
          : result;
      } catch (error) {
        throw toLongscanError(error);
      }
    };
  }
  return wrapped as unknown as Native;
}
