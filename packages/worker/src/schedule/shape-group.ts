import { NativeCommunicator, PeerCommunicator, type Stream } from '@longscan/kernels';

/** A rank's place in a group whose other ends are nobody. */
export interface ShapePlace {
  readonly rank: number;
  readonly size: number;
  /** Whether chains go through mapped memory. */
  readonly isMapped: boolean;
}

/** Such a rank's communicator: what it enqueues is all that there is of the group. */
export function shapeGroup(stream: Stream, { rank, size, isMapped }: ShapePlace, id = 0): NativeCommunicator {
  const Group = isMapped ? PeerCommunicator : NativeCommunicator;
  return new Group(stream, rank, size, id);
}
