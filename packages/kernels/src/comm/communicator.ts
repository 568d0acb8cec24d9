import type { SegmentSummary } from '../recurrence-op.js';
import type { Stream } from '../stream.js';
import type { Tensor } from '../tensor.js';

/** A tensor and the rank it goes to or comes from. */
export interface Message {
  readonly tensor: Tensor;
  readonly peer: number;
}

/**
 * One rank's end of a group of ranks. Every verb only enqueues on the communicator's own `stream` and returns; who
 * needs the result lets its stream wait for an event of this one, and this one wait for whoever makes the input:
 *
 *     comm.stream.wait(device.compute.record());
 *     comm.allReduce(gradients);
 *     device.compute.wait(comm.stream.record());
 *
 * All ranks call the same verbs in the same order with the same sizes (`send` and `recv`: each pair agrees on its
 * own order). Wrong arguments throw E-ARGUMENT at the call. What goes wrong between ranks fails the stream and with
 * it the device: E-COMM-PEER (a peer is gone), E-COMM-DEADLINE (a peer did not do its part in time), E-COMM-ABORT, on GPUs
 * E-NCCL (what NCCL itself could not do).
 * Messages name the neighbour that was waited for, which may only have passed trouble on: who died first is known
 * to the control plane.
 */
export interface Communicator {
  readonly rank: number;
  readonly size: number;
  readonly stream: Stream;

  send(tensor: Tensor, peer: number): void;
  recv(tensor: Tensor, peer: number): void;
  /** All sends and receives at once, so that neighbours cannot wait for each other. No tensor may occur twice. */
  exchange(sends: readonly Message[], recvs: readonly Message[]): void;
  /** `output` [P * n] = the `input` [n] of all ranks, in rank order; `input` may be this rank's part of `output`. */
  allGather(input: Tensor, output: Tensor): void;
  /**
   * `output` = the sum over ranks of this rank's block of `input`; f32 or f64. `counts` are the elements of each
   * rank's block, in rank order (default: all the same). `output` may be this rank's block of `input`.
   */
  reduceScatter(input: Tensor, output: Tensor, counts?: readonly number[]): void;
  /** `tensor` = its sum over ranks, the same bits on all of them; f32 or f64. */
  allReduce(tensor: Tensor): void;
  /** `tensor` = that of rank `root`. */
  broadcast(tensor: Tensor, root: number): void;
  /** Later work on `stream` starts after every rank has got here. */
  barrier(): void;

  /**
   * A state's way through the segments of all ranks in one launch on each, up the ranks (`step` 1) or down (-1): `incoming`
   * [B, H, R, N] takes what enters this rank (null where the chain begins), M S + E is handed on. f32, `segment` without
   * units, in rows that `fitsChain` takes. Left out: chains go message by message.
   */
  chain?(segment: SegmentSummary, incoming: Tensor | null, step: 1 | -1): void;

  /** Bytes handed to the transport so far, counted there (on GPUs: that NCCL's rings send); exact once the stream is idle. */
  bytesSent(): number;
  /** `target[index]` (f64) = bytes sent up to this point of the stream: tells the directions of a step apart. */
  recordBytesSent(target: Tensor, index: number): void;
  /** Writes the number (from 1) of the collective begun last to `slots[index]`; `slots` over shared memory. */
  attachProgress(slots: Int32Array, index: number): void;
  /** Makes this rank's collectives fail at once, running or not; peers notice as they would its death. Nothing after `close`. */
  abort(reason: string): void;
  /** Gives the connections back after the work enqueued so far. */
  close(): void;
}

/** A communicator of the addon, whatever its engine. */
export class NativeCommunicator implements Communicator {
  constructor(
    readonly stream: Stream,
    readonly rank: number,
    readonly size: number,
    protected readonly id: number,
  ) {}

  send(tensor: Tensor, peer: number): void {
    this.exchange([{ tensor, peer }], []);
  }

  recv(tensor: Tensor, peer: number): void {
    this.exchange([], [{ tensor, peer }]);
  }

  exchange(sends: readonly Message[], recvs: readonly Message[]): void {
    const ids = (messages: readonly Message[]) => messages.map((message) => message.tensor.id);
    const peers = (messages: readonly Message[]) => messages.map((message) => message.peer);
    this.native.commExchange(this.stream.id, this.id, ids(sends), peers(sends), ids(recvs), peers(recvs));
  }

  allGather(input: Tensor, output: Tensor): void {
    this.native.commAllGather(this.stream.id, this.id, input.id, output.id);
  }

  reduceScatter(input: Tensor, output: Tensor, counts?: readonly number[]): void {
    const blocks = counts ?? new Array<number>(this.size).fill(output.size);
    this.native.commReduceScatter(this.stream.id, this.id, input.id, output.id, blocks);
  }

  allReduce(tensor: Tensor): void {
    this.native.commAllReduce(this.stream.id, this.id, tensor.id);
  }

  broadcast(tensor: Tensor, root: number): void {
    this.native.commBroadcast(this.stream.id, this.id, tensor.id, root);
  }

  barrier(): void {
    this.native.commBarrier(this.stream.id, this.id);
  }

  bytesSent(): number {
    return this.native.commBytesSent(this.id);
  }

  recordBytesSent(target: Tensor, index: number): void {
    this.native.commRecordBytes(this.stream.id, this.id, target.id, index);
  }

  attachProgress(slots: Int32Array, index: number): void {
    this.native.commAttachProgress(this.id, slots, index);
  }

  abort(reason: string): void {
    this.native.commAbort(this.id, reason);
  }

  close(): void {
    this.native.commClose(this.id);
  }

  protected get native() {
    return this.stream.device.native;
  }
}
