/** Something that happens at a time set before. */
export interface Due {
  due(now: number): void;
}

/** Events by time, and by the order they were added where times are equal, so that a simulation always runs alike: a binary heap. */
export class EventQueue {
  private readonly times: number[] = [];
  private readonly orders: number[] = [];
  private readonly events: Due[] = [];
  private numAdded = 0;

  add(time: number, event: Due): void {
    const { times, orders, events } = this;
    const order = this.numAdded++;
    let at = times.length;
    times.push(time);
    orders.push(order);
    events.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      // What is added later comes later among equals, so the order need not be looked at.
      if (times[parent]! <= time) break;
      this.move(parent, at);
      at = parent;
    }
    this.place(at, time, order, event);
  }

  /** Lets what is due happen, and whatever follows from it, until nothing is left. Gives the time of the last event. */
  run(): number {
    let now = 0;
    while (this.times.length > 0) {
      now = this.times[0]!;
      this.takeFirst().due(now);
    }
    return now;
  }

  private takeFirst(): Due {
    const { times, orders, events } = this;
    const first = events[0]!;
    const [time, order, event] = [times.pop()!, orders.pop()!, events.pop()!];
    const size = times.length;
    if (size === 0) return first;
    let at = 0;
    for (let child = 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && this.isBefore(child + 1, times[child]!, orders[child]!)) child++;
      if (!this.isBefore(child, time, order)) break;
      this.move(child, at);
      at = child;
    }
    this.place(at, time, order, event);
    return first;
  }

  private isBefore(at: number, time: number, order: number): boolean {
    return this.times[at]! < time || (this.times[at]! === time && this.orders[at]! < order);
  }

  private move(from: number, to: number): void {
    this.place(to, this.times[from]!, this.orders[from]!, this.events[from]!);
  }

  private place(at: number, time: number, order: number, event: Due): void {
    this.times[at] = time;
    this.orders[at] = order;
    this.events[at] = event;
  }
}
