import { empty, type Stream, type Tensor } from '@longscan/kernels';
import { type Segment, wireParts } from './segment.js';

/** What of a segment travels where M travels: E, then its `wireParts`. */
function partsOf(segment: Segment, withTransition: boolean): Tensor[] {
  return withTransition ? [segment.state, ...wireParts(segment)] : [segment.state];
}

/** Elements of a segment in one message. */
export function segmentElements(segment: Segment, withTransition = true): number {
  return partsOf(segment, withTransition).reduce((sum, part) => sum + part.size, 0);
}

/** Enqueues a copy of a segment, or of E alone, into one message. */
export function packSegment(segment: Segment, message: Tensor, stream: Stream, withTransition = true): void {
  let offset = 0;
  for (const part of partsOf(segment, withTransition)) {
    segment.state.device.native.copy(stream.id, part.id, message.view(part.shape, offset).id);
    offset += part.size;
  }
}

/** A segment as views into a message; M that does not travel is that of `like`, a segment of as many tokens. */
export function unpackSegment(message: Tensor, like: Segment, begin = 0): Segment {
  let offset = begin;
  const take = (part: Tensor): Tensor => {
    const view = message.view(part.shape, offset);
    offset += part.size;
    return view;
  };
  const travelled = wireParts(like);
  return {
    ...like,
    state: take(like.state),
    factor: like.factor !== null && travelled.includes(like.factor) ? take(like.factor) : like.factor,
    reset: like.reset && take(like.reset),
  };
}

/** A fresh message for a segment, on a stream. */
export function emptyMessage(segment: Segment, stream: Stream, withTransition = true): Tensor {
  const { device, dtype } = segment.state;
  return empty(device, [segmentElements(segment, withTransition)], dtype, stream);
}
