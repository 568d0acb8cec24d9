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
    /** Enqueues the joining, so `streamSync` tells when the group stands or why it does not. */
    commConnectNccl(
      stream: number,
      axis: string,
      id: string,
      rank: number,
      size: number,
      connectTimeoutMs: number,
      timeoutMs: number,
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
    /** target[index] (f64) = bytes sent before this point of the stream. */
    commRecordBytes(stream: number, communicator: number, target: number, index: number): void;
    commBytesSent(communicator: number): number;
    commAttachProgress(communicator: number, slots: Int32Array, index: number): void;
    commAbort(communicator: number, reason: string): void;
    commClose(communicator: number): void;
  }
}

export {};
