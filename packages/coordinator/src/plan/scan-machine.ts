import type { LinkCost } from '@longscan/worker';
import type { Machine } from '../simulate/machine.js';

/**
 * A machine on which scans in many small blocks take as long as they do where ranks share cores: what a message costs a core of
 * either end is counted there, instead of as a gap that only its sender sees. It is part of the latency of a lone message, and
 * all that there is to the gap between two that follow each other.
 */
export function countingOverheads(machine: Machine): Machine {
  const { fabric, ranksAtOnce } = machine;
  if (ranksAtOnce === null) return machine;
  const overheadS = Math.min(fabric.gapS, fabric.latencyS / 2);
  const without = (link: LinkCost) => ({
    ...link,
    latencyS: Math.max(0, link.latencyS - 2 * overheadS),
    gapS: Math.max(0, link.gapS - overheadS),
  });
  const { nodes } = fabric;
  const between = nodes && { nodes: { ...nodes, between: without(nodes.between) } };
  return { ...machine, overheadS, fabric: { ...without(fabric), ...between } };
}
