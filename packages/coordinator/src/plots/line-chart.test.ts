import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Chart, Point } from './chart.js';
import { chartPanel, lineChart } from './line-chart.js';
import { linesOf, markersOf, textsOf } from './testing/read-svg.js';

const points: Point[] = [1, 2, 4, 8].map((x) => ({ x, y: 900 * x, low: 800 * x, high: 950 * x }));

const chart: Chart = {
  title: 'Throughput <of> "A & B"',
  subtitle: 'one machine',
  x: { label: 'ranks', scale: 'log2' },
  y: { label: 'throughput', unit: 'tokens/s' },
  series: [
    { name: 'all-scan', points, failed: [{ x: 16, reason: 'out of memory' }] },
    { name: 'all-scan', points: points.map(({ x, y }) => ({ x, y: 1.1 * y })), modelled: true },
    { name: 'ring', points: points.slice(0, 2) },
    { name: 'linear', points: points.map(({ x }) => ({ x, y: 900 * x })), ideal: true },
  ],
};

test('series ~> a line each with its name in the legend; units in the axis titles', async () => {
  const svg = await lineChart(chart);
  const labels = ['all-scan', 'all-scan, modelled', 'ring', 'linear'];
  assert.equal(
    linesOf(svg).map(({ series }) => series),
    labels,
  );
  const texts = textsOf(svg);
  for (const text of [...labels, 'ranks', 'throughput (tokens/s)', 'one machine', 'failed'])
    assert.ok(texts.includes(text), text);
  assert.ok(texts.includes('Throughput &lt;of&gt; "A &amp; B"'));
  assert.match(svg, /aria-label="Throughput &lt;of&gt; &quot;A &amp; B&quot;"/);
});

test('modelled series ~> hollow markers on a dashed line in the colour of what they predict', async () => {
  const svg = await lineChart(chart);
  const [measured, modelled, ring, ideal] = linesOf(svg);
  assert.is(modelled!.stroke, measured!.stroke);
  assert.is.not(ring!.stroke, measured!.stroke);
  assert.equal([measured!.dash, modelled!.dash, ideal!.dash], ['1,0', '6,4', '2,3']);
  for (const { series, fill, stroke } of markersOf(svg))
    assert.is(fill, series.endsWith('modelled') ? 'none' : stroke, series);
  assert.is(markersOf(svg).filter(({ series }) => series === 'linear').length, 0);
});

test('published series ~> filled markers without a line, in the colour of the same name; label and source to be read', async () => {
  const published = (label: string, source: string, y: number) => ({
    ...{ name: 'ring', published: { label, source } },
    points: points.slice(1).map(({ x }) => ({ x, y: y * x })),
  });
  const svg = await lineChart({
    ...chart,
    subtitle: ['one machine', 'filled: papers'],
    series: [
      { name: 'all-scan', points, modelled: true },
      { name: 'ring', points, modelled: true },
      published('LASP-1', 'a paper, its job', 700),
      published('LASP-1', 'another paper', 500),
    ],
  });
  assert.equal(
    linesOf(svg).map(({ series }) => series),
    ['all-scan, modelled', 'ring, modelled'],
  );
  const [, ring] = linesOf(svg);
  const markersFor = (series: string) => markersOf(svg).filter((marker) => marker.series === series);
  const [first, second] = ['LASP-1: a paper, its job', 'LASP-1: another paper'].map(markersFor);
  assert.equal([first!.length, second!.length], [3, 3]);
  for (const { fill, stroke } of [...first!, ...second!])
    assert.equal([fill, stroke], [ring!.stroke, ring!.stroke]);
  assert.is.not(first![0]!.shape, second![0]!.shape, 'each source has a shape of its own');
  for (const [i, { x, y }] of first!.entries()) {
    assert.is(x, second![i]!.x);
    assert.ok(y < second![i]!.y, 'a higher value higher up');
  }
  const texts = textsOf(svg);
  assert.is(texts.filter((text) => text === 'LASP-1').length, 2, 'beside the last marker of each');
  for (const text of ['LASP-1: a paper, its job', 'LASP-1: another paper', 'one machine', 'filled: papers'])
    assert.ok(texts.includes(text), text);
});

test('long names ~> a legend no wider than the chart needs, none cut off', async () => {
  const name = 'a layer whose name says what it is, where it comes from and what it is for';
  const series = [name, `${name}, too`].map((each) => ({ name: each, points }));
  const widthOf = (svg: string) => Number(/ width="(\d+)"/.exec(svg)![1]);
  const svg = await lineChart({ ...chart, series });
  for (const each of series) assert.ok(textsOf(svg).includes(each.name));
  const alone = await lineChart({ ...chart, series: series.slice(1) });
  assert.is(widthOf(svg), widthOf(alone));
});

test('points ~> powers of two equally far apart, a higher value higher up', async () => {
  const svg = await lineChart(chart);
  const own = markersOf(svg).filter(({ series }) => series === 'all-scan');
  assert.is(own.length, 4);
  const steps = own.slice(1).map(({ x }, i) => x - own[i]!.x);
  for (const step of steps) assert.ok(Math.abs(step - steps[0]!) < 1e-6, steps.join());
  for (const [i, { y }] of own.slice(1).entries()) assert.ok(y < own[i]!.y);
  const texts = textsOf(svg);
  assert.equal(
    ['1', '2', '4', '8', '16'].filter((tick) => texts.includes(tick)),
    ['1', '2', '4', '8', '16'],
  );
});

test('spread ~> a bar from low to high at each point that has one; a failed point ~> a cross with its reason', async () => {
  const svg = await lineChart(chart);
  assert.is([...svg.matchAll(/aria-roledescription="errorbar"/g)].length, 6);
  assert.is([...svg.matchAll(/aria-label="out of memory"/g)].length, 2);
});

test('a band of many points ~> an area and no markers', async () => {
  const many = Array.from({ length: 300 }, (_, x) => ({ x, y: 1 + 1 / (x + 1), low: 1, high: 2.5 }));
  const svg = await lineChart({
    ...chart,
    x: { label: 'step', scale: 'linear' },
    spread: 'band',
    series: [{ name: 'loss', points: many }],
  });
  assert.is(markersOf(svg).length, 0);
  assert.is(linesOf(svg).length, 1);
  assert.match(svg, /aria-roledescription="area mark"/);
});

test('lengths ~> K and M of 1024 on an axis of base 2; small and large numbers as they are read', async () => {
  const at = (x: number, y: number) => ({ x, y });
  const svg = await lineChart({
    ...chart,
    x: { label: 'tokens', scale: 'log2' },
    series: [{ name: 'a', points: [at(512, 0), at(2048, 40_000), at(2 ** 20, 60_000)] }],
  });
  for (const text of ['512', '2K', '1M', '0', '20k']) assert.ok(textsOf(svg).includes(text), text);
  const small = await lineChart({ ...chart, series: [{ name: 'a', points: [at(1, 0), at(2, 2)] }] });
  assert.ok(textsOf(small).includes('0.5'), textsOf(small).join());
});

test('any background ~> none of its own, and text in the colour of the theme', async () => {
  const svg = await lineChart(chart);
  assert.match(svg, /prefers-color-scheme:dark/);
  assert.match(svg, /<text[^>]* fill="currentColor"[^>]*>ranks</);
  assert.not.match(svg, /fill="(white|#fff|black|#000)"/);
});

test('a panel ~> every chart with a title and a legend of its own', async () => {
  const other = { ...chart, title: 'Efficiency', series: [{ name: 'gla', points }] };
  const texts = textsOf(await chartPanel({ title: 'Curves', subtitle: 'here' }, [chart, other]));
  for (const text of ['Curves', 'here', 'Efficiency', 'ring', 'gla']) assert.ok(texts.includes(text), text);
});

test('what an axis cannot show ~> an error that names it', async () => {
  const series = (y: number, x = 1) => [{ name: 'a', points: [{ x, y }] }];
  for (const [change, message] of [
    [{ series: series(Number.NaN) }, /y of a = NaN on a linear axis/],
    [{ series: series(1, 0) }, /x of a = 0 on a log2 axis/],
    [
      { series: series(-1), y: { label: 'y', unit: '', scale: 'log10' as const } },
      /y of a = -1 on a log10 axis/,
    ],
  ] as const) {
    const error = await lineChart({ ...chart, ...change }).catch((thrown: Error) => thrown);
    assert.instance(error, TypeError);
    assert.match((error as TypeError).message, message);
  }
});

test.run();
