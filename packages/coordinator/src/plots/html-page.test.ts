import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { htmlCharts, htmlDetails, htmlList, htmlPage, htmlTable } from './html-page.js';

const hostile = '<script>alert("x & y")</script>';

test('a page ~> complete, without anything that is fetched, and no text becomes markup', () => {
  const body = [
    htmlTable([hostile, 'n'], [[hostile, '1']], '<>'),
    htmlList([hostile]),
    htmlDetails(hostile, hostile),
    htmlCharts(['<svg></svg>']),
  ].join('');
  const page = htmlPage(hostile, hostile, [{ title: hostile, body }]);
  assert.match(page, /^<!doctype html>/);
  assert.not.match(page, /<script|<link|<img|https?:|url\(|@import/);
  assert.is([...page.matchAll(/&lt;script&gt;/g)].length, 9);
  assert.match(page, /<td class="number">1<\/td>/);
  assert.match(page, /<figure><svg><\/svg><\/figure>/);
});

test.run();
