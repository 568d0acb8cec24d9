import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

/**
 * The linker keeps one copy of every inline function. If an object compiled for x86-64-v4 offered one of general use
 * (say of std::vector), that copy could run on a CPU without AVX-512. So such objects may offer functions of their own
 * namespace only.
 */
for (const level of ['v3', 'v4']) {
  test(`objects compiled for x86-64-${level} define nothing outside of longscan::${level}`, () => {
    const folder = fileURLToPath(new URL(`../build/CMakeFiles/kernels_${level}.dir/`, import.meta.url));
    assert.ok(existsSync(folder), `${folder} is missing: run npm run setup`);
    const objects = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) =>
      path.endsWith('.o'),
    );
    assert.ok(objects.length > 0, `no objects in ${folder}`);
    for (const object of objects) {
      const lines = execFileSync('nm', ['--defined-only', '--extern-only', '--format=posix', object], {
        cwd: folder,
        encoding: 'utf8',
      }).split('\n');
      const names = lines.filter((line) => line !== '').map((line) => line.split(' ')[0]!);
      assert.ok(names.length > 0, `${object} defines nothing`);
      // Itanium mangling: _Z, then N or K qualifiers, then the length-prefixed namespaces.
      const strangers = names.filter(
        (name) => !/^_ZN[VKRO]*8longscan\d+/.test(name) || !name.includes(`8longscan2${level}`),
      );
      assert.equal(strangers, [], object);
    }
  });
}

test.run();
