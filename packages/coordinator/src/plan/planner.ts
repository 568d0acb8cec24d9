// For scripts that have scans chosen for links and costs that they have measured themselves.
export { nonNegativeFit } from '../compute/non-negative-fit.js';
export { fitLink } from '../fabric/fit-link.js';
export { planScans } from './plan-scans.js';
export { countingOverheads } from './scan-machine.js';
export { timeBySimulation } from './simulate-scans.js';
export { loadStrategies } from './strategies.js';
