import { test } from 'uvu';
import { testLayers } from './layer-tests.js';

await testLayers(1, 4);
test.run();
