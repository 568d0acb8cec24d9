import { test } from 'uvu';
import { testLayers } from './layer-tests.js';

await testLayers(0, 4);
test.run();
