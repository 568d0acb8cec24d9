import { type JobSpec, LongscanError } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';
import { fillsNodes, ranksOfNode } from './nodes.js';
import type { StrategyCost } from './strategies.js';

/** A rule of a job that not every strategy follows. */
interface Rule {
  allows(strategy: StrategyCost): boolean;
  /** Why another strategy is refused, said after its name. */
  readonly reason: string;
  readonly expected: string;
  /** What to change for a strategy that the rule refuses. */
  readonly fix: string;
}

/**
 * The strategies that a job's mode and nodes allow.
 * @throws LongscanError E-STRATEGY if the job asks for another one
 */
export function strategiesFor(
  job: JobSpec,
  installed: readonly StrategyCost[],
  fabric: Pick<Fabric, 'nodes'>,
): StrategyCost[] {
  const { sp, strategy: asked } = job.parallel;
  const rules = rulesOf(job, fabric);
  const able = installed.filter((strategy) => rules.every((rule) => rule.allows(strategy)));
  const strategy = installed.find(({ name }) => name === asked);
  const broken = rules.find((rule) => strategy !== undefined && !rule.allows(strategy));
  if (sp === 1 || broken === undefined) return able;
  throw new LongscanError({
    code: 'E-STRATEGY',
    where: 'parallel.strategy',
    found: `"${asked}" ${broken.reason}`,
    expected: broken.expected,
    fix: [...able.map(({ name }) => `parallel.strategy = "${name}"`), broken.fix].join(', or '),
    exitCode: 2,
  });
}

function rulesOf(job: JobSpec, fabric: Pick<Fabric, 'nodes'>): Rule[] {
  const { sp } = job.parallel;
  const rules: Rule[] = [];
  if (job.job.deterministic) {
    rules.push({
      allows: ({ keepsUnits }) => keepsUnits === true,
      reason: 'in deterministic mode: it adds in an order that depends on the number of ranks',
      expected: 'a strategy that hands states on unit by unit',
      fix: 'job.deterministic = false',
    });
  }
  if (!fillsNodes(job, fabric)) {
    const divisors = Array.from({ length: sp }, (_, i) => i + 1).filter((size) => sp % size === 0);
    rules.push({
      allows: ({ needsWholeNodes }) => needsWholeNodes !== true,
      reason: `with ${ranksOfNode(job, fabric)} ranks a node, into which the ${sp} ranks of a sequence do not go`,
      expected: 'a sequence that fills its nodes',
      fix: `parallel.ranksPerNode = ${divisors.join(' or ')}`,
    });
  }
  return rules;
}
