import { Courses } from './courses.js';
import type { DoneEvent, ErrorEvent, JournalEvent } from './events.js';

/** What the events of a run come to. */
export class JournalSummary {
  readonly courses = new Courses();
  /** How the newest launch ended; null when it has not. */
  end: DoneEvent | ErrorEvent | null = null;
  /** That it saved last or went on from. */
  checkpoint: string | null = null;
  attempt = 0;

  /** The run's events, in their order. */
  add(event: JournalEvent): void {
    this.courses.add(event);
    if (event.event === 'run') {
      this.end = null;
      this.attempt = event.attempt;
    } else if (event.event === 'done' || event.event === 'error') this.end = event;
    else if (event.event === 'checkpoint') this.checkpoint = event.path;
    else if (event.event === 'launch') this.checkpoint = event.resumeFrom;
  }
}
