import { test } from 'uvu';
import { testLayers } from './layer-tests.js';

await testLayers(2, 4);
test.run();
