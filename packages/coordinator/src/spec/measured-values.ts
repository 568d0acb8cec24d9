import { z } from 'zod';

// Values of files of measurements (fabric and compute files). Each schema's message is what an error names as expected.

export const text = z.string('a string that is not empty').min(1, 'a string that is not empty');
export const positive = z.number('a finite number > 0').positive('a finite number > 0');
export const nonNegative = z.number('a finite number >= 0').min(0, 'a finite number >= 0');
export const finite = z.number('a finite number');
export const count = z.int('an integer >= 1').min(1, 'an integer >= 1');
export const table = 'a table of settings';
