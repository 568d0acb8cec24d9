/** Steps of a job that are traced, both ends included. */
export interface TraceWindow {
  readonly first: number;
  readonly last: number;
}

/** `7` or `5-10`: steps, counted from 1. */
export const traceWindowPattern = /^[1-9]\d{0,8}(-[1-9]\d{0,8})?$/;

/** What a bare `--trace` stands for: past the first steps, which open kernels and fill memory. */
export const usualTraceWindow = '5-10';

/** More steps than anybody looks at; what a trace may take on disk and in a viewer has a bound. */
export const maxTracedSteps = 1000;

/** Reads a text that fits the pattern. */
export function parseTraceWindow(text: string): TraceWindow {
  const [first = 0, last = first] = text.split('-').map(Number);
  return { first, last };
}
