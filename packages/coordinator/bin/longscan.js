#!/usr/bin/env node
// Plain JavaScript that any Node can parse, and no static import: it is what tells a user that their Node is too old, or may open too
// few files.

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(
    `error[E-NODE] longscan: Node ${process.versions.node}, expected 20.19 or newer. Fix: install a newer Node`,
  );
  process.exit(3);
}
// Loading the modules takes some 170 at once. Node raises the soft limit to the hard one.
const minOpenFiles = 256;

import('node:fs')
  .then(({ readFileSync }) => {
    const maxOpenFiles = hardOpenFileLimit(readFileSync);
    if (!(maxOpenFiles < minOpenFiles)) return import('../dist/cli.js');
    console.error(
      `error[E-LIMITS] longscan: a limit of ${maxOpenFiles} open files, expected at least ${minOpenFiles}. Fix: raise it (ulimit -Hn)`,
    );
    process.exit(3);
  })
  .then(
    async ({ main }) => {
      process.exitCode = await main(process.argv.slice(2));
    },
    (error) => {
      if (error?.code !== 'ERR_MODULE_NOT_FOUND') throw error;
      console.error(`error[E-BUILD] longscan: ${error.message}. Fix: build it with npm run setup`);
      process.exitCode = 3;
    },
  );

/** NaN, which no number is greater than, where the system does not say (no /proc) or has no limit. */
function hardOpenFileLimit(readFileSync) {
  try {
    return Number(/^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))[1]);
  } catch {
    return Number.NaN;
  }
}
