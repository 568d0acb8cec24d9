import { LiveLine, type LiveStream } from '../live-line.js';
import type { CurveStage } from './simulate-curve.js';

/** Tells on a terminal what of a curve is under way: points of thousands of ranks take minutes. Elsewhere nothing. */
export class CurveLine {
  readonly #line: LiveLine | null;

  /** Null: nowhere. */
  constructor(stream: LiveStream | null, env?: Readonly<Record<string, string | undefined>>) {
    this.#line = stream && new LiveLine(stream, env);
  }

  show({ stage, point, numPoints, sp, strategy }: CurveStage): void {
    this.#line?.show(`${stage} ${point} of ${numPoints}: sp ${sp.toLocaleString('en-US')}, ${strategy}`);
  }

  showCrossings(): void {
    this.#line?.show('looking for where scans overtake the chain');
  }

  clear(): void {
    this.#line?.clear();
  }
}
