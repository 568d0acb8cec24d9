import ckptLs from './ckpt-ls.js';
import ckptVerify from './ckpt-verify.js';
import type { Command } from './command.js';
import layers from './layers.js';
import layersNew from './layers-new.js';
import logs from './logs.js';
import plan from './plan.js';
import status from './status.js';
import stop from './stop.js';

/** Every command of the CLI, in the order of its help. */
export const commands: readonly Command[] = [plan, status, logs, stop, layers, layersNew, ckptLs, ckptVerify];
