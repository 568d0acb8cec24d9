import { test } from 'uvu';
import { testLayers } from './layer-tests.js';

await testLayers(3, 4);
test.run();
