import benchCollectives from './bench-collectives.js';
import benchKernels from './bench-kernels.js';
import benchRecurrences from './bench-recurrences.js';
import benchStep from './bench-step.js';
import ckptLs from './ckpt-ls.js';
import ckptVerify from './ckpt-verify.js';
import type { Command } from './command.js';
import doctor from './doctor.js';
import generate from './generate.js';
import layers from './layers.js';
import layersCheck from './layers-check.js';
import layersNew from './layers-new.js';
import logs from './logs.js';
import plan from './plan.js';
import report from './report.js';
import resume from './resume.js';
import scale from './scale.js';
import simulate from './simulate.js';
import status from './status.js';
import stop from './stop.js';
import train from './train.js';

/** Every command of the CLI, in the order of its help. */
export const commands: readonly Command[] = [
  doctor,
  train,
  resume,
  plan,
  generate,
  status,
  logs,
  report,
  stop,
  layers,
  layersCheck,
  layersNew,
  benchKernels,
  benchCollectives,
  benchRecurrences,
  benchStep,
  scale,
  simulate,
  ckptLs,
  ckptVerify,
];
