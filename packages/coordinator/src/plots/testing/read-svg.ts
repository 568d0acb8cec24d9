/** What a chart's SVG shows, read back from its text: the plotting library names every mark for screen readers. */

export interface Line {
  readonly series: string;
  readonly stroke: string;
  readonly dash: string;
}

export interface Marker {
  readonly series: string;
  /** Of its centre in the plotting area, pixels from the upper left corner. */
  readonly x: number;
  readonly y: number;
  readonly fill: string;
  readonly stroke: string;
  /** Its path, around its centre. */
  readonly shape: string;
}

export function linesOf(svg: string): Line[] {
  return marksOf(svg, 'line mark').map((tag) => ({
    series: seriesOf(tag),
    stroke: attribute(tag, 'stroke'),
    dash: attribute(tag, 'stroke-dasharray'),
  }));
}

export function markersOf(svg: string): Marker[] {
  return marksOf(svg, 'point')
    .filter((tag) => tag.includes('series: '))
    .map((tag) => {
      const [, x, y] = /translate\(([^,]+),([^)]+)\)/.exec(tag)!;
      return {
        series: seriesOf(tag),
        x: Number(x),
        y: Number(y),
        fill: attribute(tag, 'fill'),
        stroke: attribute(tag, 'stroke'),
        shape: attribute(tag, 'd'),
      };
    });
}

/** Titles, labels, ticks and legends, as they stand in the file; each line of those that have several. */
export function textsOf(svg: string): string[] {
  return [...svg.matchAll(/<(text|tspan)[^>]*>([^<]*)<\/\1>/g)].map(([, , text]) => text!);
}

function marksOf(svg: string, role: string): string[] {
  return [...svg.matchAll(/<path [^>]*>/g)]
    .map(([tag]) => tag)
    .filter((tag) => attribute(tag, 'aria-roledescription') === role);
}

function seriesOf(tag: string): string {
  return /series: (.*)$/.exec(attribute(tag, 'aria-label'))?.[1] ?? '';
}

function attribute(tag: string, name: string): string {
  return new RegExp(` ${name}="([^"]*)"`).exec(tag)?.[1] ?? '';
}
