/** How far off a fit is, on average and at worst, of the times that it was made of. */
export function fitErrorsOf(points: readonly { readonly relativeError: number }[]) {
  const errors = points.map(({ relativeError }) => Math.abs(relativeError));
  return {
    meanRelativeError: errors.reduce((sum, error) => sum + error, 0) / errors.length,
    worstRelativeError: Math.max(...errors),
  };
}
