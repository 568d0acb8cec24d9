import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeFileOnDisk } from '../run-folder/on-disk.js';
import { usage } from '../usage.js';
import { defineCommand } from './command.js';
import { startingLayer } from './starting-layer.js';

export default defineCommand({
  name: 'layers new',
  summary: 'write a starting layer and a tsconfig.json that finds its types',
  positionals: { file: { type: 'string', demandOption: true, describe: 'the .ts file to write' } },
  options: {},
  example: 'layers new ./my-layer.ts',
  async run(args, terminal) {
    const file = resolve(args.file);
    const name = layerName(file);
    if (existsSync(file)) throw usage(file, 'a file that exists', 'a new one', 'choose another name');
    const folder = dirname(file);
    writeFileOnDisk(file, startingLayer(name));
    const tsconfig = join(folder, 'tsconfig.json');
    const isNewConfig = !existsSync(tsconfig);
    if (isNewConfig) writeFileOnDisk(tsconfig, typeScriptConfig(folder));
    if (args.json) terminal.printJson({ path: file, tsconfig: isNewConfig ? tsconfig : null });
    else {
      terminal.print(file);
      if (!isNewConfig) terminal.note(`${tsconfig} was there already and is unchanged`);
      terminal.note(`check it with: longscan layers check ${args.file}`);
      terminal.note(`use it in a job with: layers = "./${basename(file)}" (a path counts from the job file)`);
    }
    return 0;
  },
});

/** The file's name without its ending, which is also the layer's name. */
function layerName(file: string): string {
  const name = /^([a-z0-9-]+)\.ts$/.exec(basename(file))?.[1];
  if (name !== undefined) return name;
  const fix = 'for example my-layer.ts';
  throw usage(file, 'a file name that is no layer name', 'lower-case letters, digits and "-", then .ts', fix);
}

/** Lets an editor and `tsc` find the types of the packages from a folder that has no node_modules. */
function typeScriptConfig(folder: string): string {
  const worker = fileURLToPath(import.meta.resolve('@longscan/worker'));
  // The coordinator has no dependency on the kernels; the worker has.
  const kernels = createRequire(worker).resolve('@longscan/kernels');
  const typesOf = (module: string) => {
    const path = relative(folder, module.replace(/\.js$/, '.d.ts'));
    return [path.startsWith('.') ? path : `./${path}`];
  };
  const config = {
    compilerOptions: {
      target: 'es2022',
      module: 'esnext',
      moduleResolution: 'bundler',
      lib: ['es2023', 'esnext.disposable'],
      types: [],
      strict: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: true,
      noEmit: true,
      paths: {
        '@longscan/kernels': typesOf(kernels),
        '@longscan/worker': typesOf(worker),
      },
    },
    include: ['*.ts'],
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
