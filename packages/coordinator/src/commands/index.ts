import ckptLs from './ckpt-ls.js';
import ckptVerify from './ckpt-verify.js';
import type { Command } from './command.js';

/** Every command of the CLI, in the order of its help. */
export const commands: readonly Command[] = [ckptLs, ckptVerify];
