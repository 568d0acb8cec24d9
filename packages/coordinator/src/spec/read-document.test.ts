import { execFileSync } from 'node:child_process';
import { mkdirSync, realpathSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readDocument } from './read-document.js';
import { inJobFolder, messageOf } from './testing.js';

test('TOML, YAML and JSON give the same values, each with places', async () => {
  const files = {
    'a.toml': '[job]\nsteps = 5\n',
    'a.yaml': 'job:\n  steps: 5\n',
    'a.json': '{\n  "job": { "steps": 5 }\n}\n',
  };
  await inJobFolder(files, () => {
    const places = Object.keys(files).map((file) => {
      const document = readDocument(file);
      assert.is(JSON.stringify(document.value), '{"job":{"steps":5}}', file);
      const { key, value } = document.places.get('job.steps')!;
      return `${key.line}:${key.column} ${value.line}:${value.column}`;
    });
    assert.equal(places, ['2:1 2:9', '2:3 2:10', '2:12 2:21']);
  });
});

test('a file that cannot be read says why, and where one stands', async () => {
  await inJobFolder({ 'job.ini': '' }, async (folder) => {
    for (const name of ['folder', 'folder.toml']) mkdirSync(name);
    execFileSync('mkfifo', ['pipe.toml']);
    symlinkSync('nowhere', 'link.toml');
    writeFileSync('latin.toml', Buffer.from([0x61, 0x3d, 0x22, 0xe9, 0x22]));
    writeFileSync('huge.toml', '');
    truncateSync('huge.toml', 100_000_000);
    const stands = `Fix: check the path; the current folder is ${realpathSync(folder)}`;
    const expected = 'expected a job file (.toml, .yaml, .yml or .json)';
    const messages: Record<string, string> = {
      'missing.toml': `error[E-CFG-READ] missing.toml: no such file, ${expected}. ${stands}`,
      'link.toml': `error[E-CFG-READ] link.toml: no such file, ${expected}. ${stands}`,
      'folder.toml': `error[E-CFG-READ] folder.toml: a folder, ${expected}. ${stands}`,
      folder: `error[E-CFG-READ] folder: a folder, ${expected}. ${stands}`,
      'pipe.toml': `error[E-CFG-READ] pipe.toml: not a regular file, ${expected}. ${stands}`,
      'latin.toml': `error[E-CFG-READ] latin.toml: bytes that are not UTF-8, ${expected}. Fix: save it as UTF-8`,
      'job.ini': `error[E-CFG-READ] job.ini: the extension .ini, ${expected}. ${stands}`,
      job: `error[E-CFG-READ] job: a file name without extension, ${expected}. ${stands}`,
      'huge.toml':
        'error[E-CFG-SIZE] huge.toml: 100000000 bytes, expected at most 1048576. Fix: name a file of settings; a text is what data.path names',
    };
    for (const [file, message] of Object.entries(messages)) {
      assert.equal(await messageOf(async () => readDocument(file)), [message]);
    }
  });
});

test('a syntax error shows the line with a caret', async () => {
  const files = {
    'a.toml': '[job]\nsteps = = 5\n',
    'a.yaml': 'job:\n  steps: [1, 2\nname: x\n',
    'a.json': '{ "job": { "steps": 5, } x }',
    'list.yaml': '- a\n- b\n',
  };
  await inJobFolder(files, async () => {
    const read = (file: string) => messageOf(async () => readDocument(file));
    assert.equal(await read('a.toml'), [
      'error[E-CFG-PARSE] a.toml:2:9: invalid value. Fix: correct it here',
      '    steps = = 5',
      '            ^',
    ]);
    assert.match((await read('a.yaml'))[0]!, /^error\[E-CFG-PARSE\] a\.yaml:3:1: /);
    assert.match((await read('a.json'))[0]!, /^error\[E-CFG-PARSE\] a\.json:1:\d+: /);
    assert.match((await read('list.yaml'))[0]!, 'error[E-CFG-PARSE] list.yaml:1:1: not a table of sections');
  });
});

test('bombs are refused without expanding them', async () => {
  const aliases = Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i},`.repeat(10)}]`);
  const files = {
    'alias.yaml': `a0: &a0 [x]\n${aliases.join('\n')}\n`,
    'deep.yaml': `a: ${'['.repeat(200_000)}${']'.repeat(200_000)}`,
    'deep.json': `{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}`,
    'deep.toml': `a = ${'['.repeat(10_000)}${']'.repeat(10_000)}`,
    'dashes.yaml': `a:\n  ${'- '.repeat(100_000)}x`,
    'indents.yaml': Array.from({ length: 1_400 }, (_, i) => `${' '.repeat(i)}a:\n#`).join('\n'),
    'steps.yaml': Array.from({ length: 30 }, (_, i) => `${' '.repeat(60 * i)}${'- '.repeat(29)}a:`).join(
      '\n',
    ),
    'dots.toml': `${'a.'.repeat(10_000)}a = 1`,
  };
  await inJobFolder(files, async () => {
    for (const file of Object.keys(files)) {
      const [first = ''] = await messageOf(async () => readDocument(file));
      assert.match(first, /^error\[E-CFG-(PARSE|SIZE)\]/, file);
      assert.ok(first.length < 400, `${file}: ${first.length} characters`);
    }
  });
});

test.run();
