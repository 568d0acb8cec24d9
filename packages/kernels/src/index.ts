export { type ErrorParts, LongscanError } from './errors.js';
