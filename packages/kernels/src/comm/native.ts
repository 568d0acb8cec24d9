declare module '../native.js' {
  interface Native {
    commListenerOpen(host: string): { port: number; id: number };
    commListenerClose(listener: number): void;
    /** Enqueues the connecting, so `streamSync` tells when the group stands or why it does not. */
    commConnectTcp(
      stream: number,
      listener: number,
      jobId: string,
      axis: string,
      token: string,
      epoch: number,
      rank: number,
      hosts: readonly string[],
      ports: readonly number[],
      connectTimeoutMs: number,
      timeoutMs: number,
    ): number;
    /** One communicator per stream, in rank order. */
    commInProcessGroup(axis: string, streams: readonly number[], timeoutMs: number): number[];
    /** Opens NCCL. @throws LongscanError E-NCCL */
    commNcclOpen(): { version: string; path: string };
    /** What the ranks of a group need to join it. */
    commNcclGroupId(): string;
    /** Enqueues the joining, so `streamSync` tells when the group stands or why it does not. `peerMode`: `peerModes`. */
    commConnectNccl(
      stream: number,
      axis: string,
      id: string,
      rank: number,
      size: number,
      connectTimeoutMs: number,
      timeoutMs: number,
      peerMode: number,
    ): number;
    commExchange(
      stream: number,
      communicator: number,
      sends: readonly number[],
      sendPeers: readonly number[],
      receives: readonly number[],
      receivePeers: readonly number[],
    ): void;
    commAllGather(stream: number, communicator: number, input: number, output: number): void;
    commReduceScatter(
      stream: number,
      communicator: number,
      input: number,
      output: number,
      counts: readonly number[],
    ): void;
    commAllReduce(stream: number, communicator: number, tensor: number): void;
    commBroadcast(stream: number, communicator: number, tensor: number, root: number): void;
    commBarrier(stream: number, communicator: number): void;
    /** A state's way through the segments of all ranks, up (`step` 1) or down the ranks; the segment as in `transitionApply`. */
    commChain(
      stream: number,
      communicator: number,
      kind: number,
      transposed: number,
      factor: number | null,
      rates: number | null,
      reset: number | null,
      E: number,
      incoming: number | null,
      step: number,
    ): void;
    /** target[index] (f64) = bytes sent before this point of the stream. */
    commRecordBytes(stream: number, communicator: number, target: number, index: number): void;
    commBytesSent(communicator: number): number;
    /** Of a group that stands: why `commChain` cannot be called; empty: it can. */
    commChainObstacle(communicator: number): string;
    commAttachProgress(communicator: number, slots: Int32Array, index: number): void;
    commAbort(communicator: number, reason: string): void;
    commClose(communicator: number): void;
  }
}

export {};
