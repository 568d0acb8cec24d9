import type { Due, EventQueue } from './event-queue.js';
import type { Machine } from './machine.js';

/** Where ranks compute. */
export interface Host {
  /** Calls `done.due` when work of so many seconds is over; `cores`: how many it occupies meanwhile. */
  start(now: number, seconds: number, cores: number, done: Due): void;
}

/** Every rank has a device of its own: nobody slows anybody down. */
class DedicatedHost implements Host {
  constructor(private readonly queue: EventQueue) {}

  start(now: number, seconds: number, _cores: number, done: Due): void {
    this.queue.add(now + seconds, done);
  }
}

interface Task {
  /** Progress of the host (`SharedHost.progress`) at which it is over. */
  readonly end: number;
  readonly cores: number;
  readonly done: Due;
}

/**
 * Ranks that share cores: all work under way advances at one speed, 1 while it fits the cores, less where more is under way
 * than there are cores or where caches and memory are shared.
 */
class SharedHost implements Host {
  /** Seconds of work that each task has had which was under way from the beginning. */
  private progress = 0;
  private speed = 1;
  private since = 0;
  /** By rising `end`. */
  private readonly tasks: Task[] = [];
  private load = 0;
  /** The last one set; those before it find that they are not it. */
  private alarm: Due | null = null;

  constructor(
    private readonly queue: EventQueue,
    private readonly numCores: number,
    private readonly slowdown: readonly number[],
  ) {}

  start(now: number, seconds: number, cores: number, done: Due): void {
    this.advance(now);
    const task: Task = { end: this.progress + seconds, cores, done };
    let at = this.tasks.length;
    while (at > 0 && this.tasks[at - 1]!.end > task.end) at--;
    this.tasks.splice(at, 0, task);
    this.load += cores;
    this.setAlarm(now);
  }

  private advance(now: number): void {
    this.progress += (now - this.since) * this.speed;
    this.since = now;
  }

  private setAlarm(now: number): void {
    const [first] = this.tasks;
    if (first === undefined) {
      this.alarm = null;
      return;
    }
    this.speed = this.speedNow();
    const alarm: Due = {
      due: (time) => {
        if (this.alarm === alarm) this.finish(time, first.end);
      },
    };
    this.alarm = alarm;
    this.queue.add(now + Math.max(0, first.end - this.progress) / this.speed, alarm);
  }

  private speedNow(): number {
    const { load, numCores, slowdown } = this;
    const atOnce = Math.min(numCores, Math.max(1, Math.ceil(load)));
    return Math.min(1, numCores / load) / (slowdown[atOnce - 1] ?? slowdown.at(-1) ?? 1);
  }

  private finish(now: number, end: number): void {
    // Exactly there, whatever rounding the time has seen.
    this.progress = end;
    this.since = now;
    let numDone = 0;
    while (numDone < this.tasks.length && this.tasks[numDone]!.end <= end) numDone++;
    const done = this.tasks.splice(0, numDone);
    for (const { cores } of done) this.load -= cores;
    if (this.tasks.length === 0) this.load = 0;
    this.alarm = null;
    for (const task of done) task.done.due(now);
    if (this.alarm === null) this.setAlarm(now);
  }
}

/** The hosts of `numRanks` ranks, by rank. */
export function hostsOf(numRanks: number, machine: Machine, queue: EventQueue): Host[] {
  const { ranksAtOnce, slowdown, fabric } = machine;
  if (ranksAtOnce === null) {
    const host = new DedicatedHost(queue);
    return Array.from({ length: numRanks }, () => host);
  }
  const ranksPerHost = fabric.nodes?.ranksPerNode ?? numRanks;
  const hosts = Array.from(
    { length: Math.ceil(numRanks / ranksPerHost) },
    () => new SharedHost(queue, ranksAtOnce, slowdown),
  );
  return Array.from({ length: numRanks }, (_, rank) => hosts[Math.floor(rank / ranksPerHost)]!);
}
