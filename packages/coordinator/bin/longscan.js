#!/usr/bin/env node
// Plain JavaScript that any Node can parse: it is what tells a user that their Node is too old.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(
    `error[E-NODE] longscan: Node ${process.versions.node}, expected 20.19 or newer. Fix: install a newer Node`,
  );
  process.exit(3);
}
import('../dist/cli.js').then(
  async ({ main }) => {
    process.exitCode = await main(process.argv.slice(2));
  },
  (error) => {
    if (error?.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    console.error(`error[E-BUILD] longscan: ${error.message}. Fix: build it with npm run setup`);
    process.exitCode = 3;
  },
);
