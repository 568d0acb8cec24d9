import { collectivesResultSchema, type Plan, type Task } from '@longscan/worker/protocol';
import { type RunTaskOptions, runOnRanks } from '../run-task.js';
import { groupSize } from './group-size.js';
import { type Measured, measuredRows } from './measured.js';

/**
 * Starts the ranks of a plan, has them measure what lies between them, and ends them.
 * @throws LongscanError what `runOnRanks` throws
 */
export async function measureGroup(
  task: Extract<Task, { kind: 'bench-collectives' | 'probe-links' }>,
  plan: Plan,
  layerModules: Readonly<Record<string, string>>,
  options: RunTaskOptions,
): Promise<Measured> {
  const results = await runOnRanks(task, plan, layerModules, options);
  const ofGroup = results.slice(0, groupSize(plan.jobSpec));
  return measuredRows(
    ofGroup.map((result) => collectivesResultSchema.parse(result)),
    plan,
  );
}
