import { escapeMarkup } from './escape-markup.js';

/** Told apart by readers with any colour vision, and clear on white and on near-black: each at least 3 to 1 against both. */
export const colours = [
  '#3a83d6',
  '#d1701c',
  '#1f9d77',
  '#b562b0',
  '#a58a1d',
  '#cf4f5c',
  '#2f9bb3',
  '#8a6fd1',
] as const;

export const grey = '#828a93';
export const red = '#dc4c4c';

const font = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', sans-serif";

/** `currentColor`: what the SVG's own style sheet says, by the reader's theme. */
const ink = 'currentColor';

/** What all charts share, as a part of a Vega-Lite specification. */
export const theme = {
  background: 'transparent',
  padding: 8,
  config: {
    font,
    view: { stroke: null },
    title: {
      ...{ anchor: 'start', color: ink, fontSize: 15, fontWeight: 600, offset: 12 },
      ...{ subtitleColor: ink, subtitleFontSize: 11, subtitlePadding: 4 },
    },
    axis: {
      ...{ titleColor: ink, titleFontSize: 12, titleFontWeight: 500, titlePadding: 8 },
      ...{ labelColor: ink, labelFontSize: 11, domainColor: grey, tickColor: grey },
      ...{ gridColor: grey, gridOpacity: 0.25, labelFlush: false },
    },
    legend: {
      ...{ orient: 'bottom', labelColor: ink, labelFontSize: 12, labelLimit: 0 },
      ...{ symbolType: 'stroke', symbolSize: 500, symbolStrokeWidth: 2, symbolOpacity: 1 },
      ...{ offset: 14, columnPadding: 16 },
    },
  },
} as const;

/**
 * Text and axes in the reader's theme, and a name for those who cannot see the chart. Where a viewer knows no themes the
 * text is a grey that can be read on either background.
 */
export function inTheme(svg: string, title: string): string {
  const style =
    '<style>.longscan-chart{color:#1f2328}@media (prefers-color-scheme:dark){.longscan-chart{color:#e6edf3}}</style>';
  const name = escapeMarkup(title);
  return svg.replace(
    /^<svg ([^>]*)class="marks"([^>]*)>/,
    (_, before, after) =>
      `<svg ${before}class="longscan-chart" color="#767e88" role="img" aria-label="${name}"${after}>${style}`,
  );
}
