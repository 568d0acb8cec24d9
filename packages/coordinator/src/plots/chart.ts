/** One value of a series; `low` and `high`: its 5th and 95th percentile, or whatever spread the chart's subtitle names. */
export interface Point {
  readonly x: number;
  readonly y: number;
  readonly low?: number;
  readonly high?: number;
}

/** A point that could not be measured: marked at the foot of the chart. */
export interface FailedPoint {
  readonly x: number;
  /** In a few words. */
  readonly reason: string;
}

export interface Published {
  /** Beside the last marker, in a word. */
  readonly label: string;
  /** For the legend: whose, of what, on what. */
  readonly source: string;
}

export interface Series {
  /** Series of one name have one colour, so that a prediction is seen beside what it predicts. */
  readonly name: string;
  /** By rising x. */
  readonly points: readonly Point[];
  /** From a model: drawn hollow and dashed, and labelled so. */
  readonly modelled?: boolean;
  /** What would be perfect: a thin grey line without markers. */
  readonly ideal?: boolean;
  /** Somebody else's measurements: filled markers without a line, in a shape of its own for each source. */
  readonly published?: Published;
  readonly failed?: readonly FailedPoint[];
}

/** `log2`: ticks at powers of two; `log10`: at powers of ten. */
export type AxisScale = 'linear' | 'log2' | 'log10';

export interface Chart {
  readonly title: string;
  /** Under the title: machine, conditions, what bars or bands are; one or several lines. */
  readonly subtitle?: string | readonly string[];
  readonly x: { readonly label: string; readonly scale: AxisScale };
  /** A linear scale begins at zero unless `zero` is false. */
  readonly y: {
    readonly label: string;
    /** Empty: a bare number. */
    readonly unit: string;
    readonly scale?: AxisScale;
    readonly zero?: boolean;
  };
  readonly series: readonly Series[];
  /** `bars` with a marker at every point (default); `band` with none, for curves of many points. */
  readonly spread?: 'bars' | 'band';
  /** Of the plotting area, pixels. */
  readonly width?: number;
  readonly height?: number;
}
