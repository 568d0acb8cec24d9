import { describeLink } from '../fabric/describe-link.js';
import type { Fabric } from '../fabric/fabric.js';
import type { FabricFile, LinkFit } from '../fabric/fabric-file.js';

/** The links that a probe has found, and what is to be said of them. */
export function probedFabric({ name, link, nodes, measured }: FabricFile): Fabric {
  if (measured === undefined) throw new TypeError('a probe that was not measured');
  const { date, numRanks, fit } = measured;
  const fits = [fit.inside, ...(fit.between === undefined ? [] : [fit.between])];
  const probe = {
    ...{ date, numRanks },
    meanRelativeError: Math.max(...fits.map(({ meanRelativeError }) => meanRelativeError)),
    worstRelativeError: Math.max(...fits.map(({ worstRelativeError }) => worstRelativeError)),
  };
  const found =
    nodes === undefined
      ? describeFit('', link, fit.inside)
      : `${describeFit('inside a node ', link, fit.inside)}; ${describeFit('between nodes ', nodes.between, fit.between!)}`;
  return {
    ...{ name, ...link, ...(nodes && { nodes }), probe },
    notes: [`the plan goes by a probe of the links between ${numRanks} ranks: ${found}`],
  };
}

function describeFit(
  where: string,
  link: FabricFile['link'],
  { residuals, meanRelativeError, worstRelativeError }: LinkFit,
): string {
  const percent = (share: number) => `${(100 * share).toPrecision(3)} %`;
  return `${where}${describeLink(link)}, off by ${percent(meanRelativeError)} on average and ${percent(worstRelativeError)} at worst from ${residuals.length} measured times of messages`;
}
