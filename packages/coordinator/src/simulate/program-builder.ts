import type { BusyInstruction, Instruction, Program } from './program.js';

/** Computations that ranks have in common, by their length: there are millions in thousands of ranks, and few that differ. */
export class SharedComputations {
  private readonly byLength = new Map<number, BusyInstruction>();

  of(seconds: number): BusyInstruction {
    let busy = this.byLength.get(seconds);
    if (busy === undefined) {
      busy = { kind: 'busy', seconds };
      this.byLength.set(seconds, busy);
    }
    return busy;
  }
}

/** Puts the program of a rank together; computation that nothing can come between is one instruction. */
export class ProgramBuilder {
  private readonly instructions: readonly Instruction[][];
  private readonly busyS: Float64Array;

  constructor(
    private readonly streams: readonly string[],
    private readonly shared: SharedComputations,
  ) {
    this.instructions = streams.map(() => []);
    this.busyS = new Float64Array(streams.length);
  }

  busy(stream: number, seconds: number): void {
    this.busyS[stream]! += seconds;
  }

  push(stream: number, instruction: Instruction): void {
    this.endBusy(stream);
    this.instructions[stream]!.push(instruction);
  }

  build(): Program {
    const streams = this.streams.map((name, stream) => {
      this.endBusy(stream);
      // A copy is as long as it has to be; what has grown has room for half as much again.
      return { name, instructions: this.instructions[stream]!.slice() };
    });
    return { streams };
  }

  private endBusy(stream: number): void {
    const seconds = this.busyS[stream]!;
    if (seconds > 0) this.instructions[stream]!.push(this.shared.of(seconds));
    this.busyS[stream] = 0;
  }
}
