import { parseTraceWindow } from '../protocol/trace-window.js';
import type { Training } from '../training/training.js';
import { ChromeEvents } from './chrome-events.js';
import { monotonicUs, StepTracer, type StepTracing, streamsOf, type TracedStep } from './step-tracer.js';
import { TraceFile } from './trace-file.js';

/** What a training run takes times of, and where they go. */
export interface RunTraceOptions {
  readonly training: Training;
  readonly rank: number;
  /** Absolute path; null: nothing is written. */
  readonly runDir: string | null;
  /** As `job.trace` has it; null: no step is traced. */
  readonly window: string | null;
}

/** The trace of a run: the file of this rank, from the first step of the window to the last. */
export class RunTrace {
  private readonly tracer: StepTracer;
  private readonly events: ChromeEvents;
  private readonly lastStep: number;
  private file: TraceFile | null = null;
  /** When the steps began that are traced and not over. */
  private readonly begins = new Map<number, number>();

  constructor(private readonly options: RunTraceOptions) {
    const { training, rank, runDir } = options;
    const window = runDir === null || options.window === null ? null : parseTraceWindow(options.window);
    this.tracer = new StepTracer(training, window);
    this.events = new ChromeEvents(rank);
    this.lastStep = window?.last ?? 0;
  }

  /** The next step begins; what is enqueued from here on belongs to it. */
  begin(number: number): StepTracing {
    if (this.tracer.isTraced(number)) this.begins.set(number, monotonicUs());
    return this.tracer.begin(number);
  }

  /** Writes a step that is over; steps come in their order. */
  write(step: TracedStep): void {
    const { training, rank, runDir } = this.options;
    this.file ??= new TraceFile(
      runDir!,
      rank,
      streamsOf(training).map(({ name }) => name),
    );
    this.begins.delete(step.number);
    // Nothing of a step that is under way can have been before its begin.
    this.file.add(this.events.ofStep(step), Math.min(...this.begins.values()));
    if (step.number === this.lastStep) this.close();
  }

  /** Ends the file, if it is open. */
  close(): void {
    this.file?.close();
    this.file = null;
  }
}
