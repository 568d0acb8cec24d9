/** What both passes begin with. */
export type AttentionArguments = readonly [
  stream: number,
  scale: number,
  keyOffset: number,
  window: number,
  chunk: number,
  positions: number | null,
  after: number | null,
  q: number,
  k: number,
  v: number,
  kSelf: number | null,
  vSelf: number | null,
];

declare module '../../native.js' {
  interface Native {
    /**
     * o [B, T, H, V] and lse [B, T, H], the log of the sum of exponentials; accumulate: both hold the result over other
     * keys, and these are added
     */
    attentionForward(
      ...args: [...common: AttentionArguments, accumulate: boolean, o: number, lse: number]
    ): void;
    /** dq, dk, dv and, where queries have keys of their own, dkSelf and dvSelf; accumulate: added to what is there */
    attentionBackward(
      ...args: [
        ...common: AttentionArguments,
        accumulate: boolean,
        o: number,
        lse: number,
        dO: number,
        dq: number,
        dk: number,
        dv: number,
        dkSelf: number | null,
        dvSelf: number | null,
      ]
    ): void;
    /** ends = the tokens that end a chunk, zero in slots that have none; backward: tokens from ends, zero elsewhere */
    chunkEnds(
      stream: number,
      chunk: number,
      tokenOffset: number,
      backward: boolean,
      positions: number | null,
      tokens: number,
      ends: number,
    ): void;
  }
}
