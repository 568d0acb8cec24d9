import { describeChainLink, describeLink } from '../fabric/describe-link.js';
import type { Fabric } from '../fabric/fabric.js';
import type { FabricFile, LinkFit } from '../fabric/fabric-file.js';
import { formatError } from '../format.js';

/** The links that a probe has found, and what is to be said of them. */
export function probedFabric({ name, link, nodes, chains, measured }: FabricFile): Fabric {
  if (measured === undefined) throw new TypeError('a probe that was not measured');
  const { date, numRanks, fit } = measured;
  const fits = [fit.inside, fit.between, fit.chains].flatMap((one) => one ?? []);
  const probe = {
    ...{ date, numRanks },
    meanRelativeError: Math.max(...fits.map(({ meanRelativeError }) => meanRelativeError)),
    worstRelativeError: Math.max(...fits.map(({ worstRelativeError }) => worstRelativeError)),
  };
  const found =
    nodes === undefined
      ? describeFit('', describeLink(link), fit.inside)
      : `${describeFit('inside a node ', describeLink(link), fit.inside)}; ${describeFit('between nodes ', describeLink(nodes.between), fit.between!)}`;
  const ofChains =
    chains &&
    `; ${describeFit('chains through mapped memory ', describeChainLink(chains), fit.chains!, 'chains')}`;
  return {
    ...{ name, ...link, ...(nodes && { nodes }), ...(chains && { chains }), probe },
    notes: [`the plan goes by a probe of the links between ${numRanks} ranks: ${found}${ofChains ?? ''}`],
  };
}

function describeFit(
  where: string,
  link: string,
  { residuals, meanRelativeError, worstRelativeError }: LinkFit,
  what = 'messages',
): string {
  return `${where}${link}, off by ${formatError(meanRelativeError)} on average and ${formatError(worstRelativeError)} at worst from ${residuals.length} measured times of ${what}`;
}
