export { formatPlan } from './format-plan.js';
export { planJob } from './plan-job.js';
