import fs, { appendFileSync, cpSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { readManifest } from '@longscan/worker/checkpoint';
import { openText } from '@longscan/worker/data';
import { jobSpecSchema } from '@longscan/worker/protocol';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Run } from '../run.js';
import { sameTexts } from '../run-folder/same-texts.js';
import { StandingRanks } from '../testing/standing-ranks.js';
import { checkpointAt, failureOf, Workshop } from './small-job.js';

// Texts that change while a run is launched, or between a run and the next launch of it.

const [whileStarting, test] = [suiteOf('while ranks start', null), suiteOf('texts', new StandingRanks())];

function suiteOf(name: string, standing: StandingRanks | null) {
  const found = suite<{ workshop: Workshop; text: string }>(name);
  found.before.each((context) => {
    context.workshop = new Workshop(standing);
    context.text = join(context.workshop.dir, 'text.txt');
  });
  found.after.each(({ workshop }) => workshop.remove());
  return found;
}

const six = { 'parallel.sp': 2, 'job.steps': 6, 'checkpoint.every': 3, 'optimizer.schedule': 'constant' };
const lossesOf = ({ steps }: { steps: { loss: number | null }[] }) => steps.map(({ loss }) => loss);

async function incidentsOf(run: Run): Promise<{ code: string; message: string }[]> {
  const incidents = [];
  for await (const event of run.events()) if (event.event === 'incident') incidents.push(event);
  return incidents;
}

whileStarting(
  'grown while ranks start ~> all train on what the coordinator saw',
  async ({ workshop, text }) => {
    const straight = await workshop.train('straight', six);
    const started = await workshop.launch('grown', six);
    // Before any rank has opened it: they are processes that are only being started.
    appendFileSync(text, 'and another whale. '.repeat(200));
    await started.done;
    const resumed = await workshop.train('grown', { ...six, 'job.steps': 8 }, { resume: 'auto' });
    assert.equal(lossesOf(resumed).slice(0, 6), lossesOf(straight));
    const [incident] = await incidentsOf(resumed.run);
    assert.match(incident!.message, `${text} has grown from 24002 bytes to 27802 since the run began`);
  },
);

whileStarting('shorter while ranks start ~> the run ends with it', async ({ workshop, text }) => {
  const run = await workshop.launch('cut', six);
  truncateSync(text, 1000);
  const { code, exitCode } = await failureOf(run.done);
  assert.equal([code, exitCode], ['E-DATA-CHANGED', 4]);
});

test('grown between two launches ~> told, and the course stays the same, bit for bit', async ({
  workshop,
  text,
}) => {
  const straight = await workshop.train('straight', six);
  const { manifest } = await readManifest(checkpointAt(straight.run.dir, 3));
  assert.is(manifest.texts?.path.bytes, 24_002);
  appendFileSync(text, 'and another whale. '.repeat(200));
  const branch = await workshop.branch('grown', straight, 3, six);
  assert.equal(lossesOf(branch), lossesOf(straight));
  assert.equal(
    (await incidentsOf(branch.run)).map(({ code }) => code),
    ['I-DATA-GROWN', 'I-CKPT-LEFT'],
  );
  const after = await readManifest(checkpointAt(branch.run.dir, 6));
  assert.equal(after.manifest.texts, manifest.texts, 'the next launch goes on with the same');
});

test('another one between two launches ~> refused by name, nothing launched', async ({ workshop, text }) => {
  const first = await workshop.train('first', six);
  const before = readFileSync(text, 'utf8');
  const more = { ...six, 'job.steps': 8 };
  for (const [changed, found] of [
    [before.slice(0, 20_000), '20000 bytes, where it had 24002'],
    [before.replace('whale', 'shark'), 'other contents'],
    [`more in front. ${before}`, 'other contents'],
  ] as const) {
    writeFileSync(text, changed);
    const error = await failureOf(workshop.launch('first', more, { resume: 'auto' }));
    assert.equal([error.code, error.exitCode], ['E-RESUME-DRIFT', 2]);
    assert.match(error.message, `the text ${text} has changed since the run began: ${found}`);
    assert.match(error.message, 'Fix: give the text back as it was, or start a new run without --resume');
  }
  writeFileSync(text, before);
  const { result } = await workshop.train('first', more, { resume: 'auto' });
  assert.is(result.step, 8);
  assert.is(first.result.step, 6);
});

test('a checkpoint that does not say what it has learned from ~> said so', ({ text }) => {
  const data = jobSpecSchema.shape.data.parse({ path: text });
  const { texts: now, close } = openText(data);
  close();
  const { texts, incident, change } = sameTexts(data, null, now);
  assert.equal([texts, incident?.code, change], [now, 'W-DATA-UNKNOWN', null]);
});

test('one that cannot be read ~> E-DATA-READ, not that it has changed', ({ text }) => {
  const data = jobSpecSchema.shape.data.parse({ path: text });
  const { texts: now, close } = openText(data);
  close();
  const { readSync } = fs;
  fs.readSync = () => {
    throw Object.assign(new Error('EIO'), { code: 'EIO' });
  };
  syncBuiltinESMExports();
  try {
    const grown = { ...now, path: { ...now.path, bytes: now.path.bytes + 1 } };
    assert.throws(() => sameTexts(data, now, grown), /E-DATA-READ.*cannot be read \(EIO\)/);
  } finally {
    fs.readSync = readSync;
    syncBuiltinESMExports();
  }
});

test('another path or another cut ~> that is the difference, and not the text', async ({
  workshop,
  text,
}) => {
  await workshop.train('first', six);
  const copy = join(workshop.dir, 'copy.txt');
  cpSync(text, copy);
  truncateSync(copy, 20_000);
  const error = await failureOf(workshop.launch('first', { ...six, 'data.path': copy }, { resume: 'auto' }));
  assert.match(error.message, `data.path was "${text}" and is "${copy}", expected`);
});

whileStarting.run();
test.run();
