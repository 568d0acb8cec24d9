#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../core/dtype.h"
#include "../core/error.h"
#include "../ops/transition/cuda.h"

namespace longscan {

/// The verbs of one rank's end of a group, as an engine carries them out: `TransportCollectives` on host
/// memory over a Transport, `NcclCollectives` on a GPU's. All ranks must call the same verbs in the same
/// order with the same sizes.
///
/// The verbs are called by the communicator's stream's thread: on the CPU they return when they are done, on
/// a GPU when they are launched on its stream. They throw CommError; after the first failure every one throws
/// that failure again.
class Collectives {
 public:
  Collectives() = default;
  virtual ~Collectives() = default;
  Collectives(const Collectives&) = delete;
  Collectives& operator=(const Collectives&) = delete;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// `output` [P, bytes] = every rank's `input` [bytes]. In place: `input` may be this rank's block of
  /// `output`.
  virtual void allGather(const void* input, void* output, size_t bytes) = 0;

  /// `output` [counts[r]] = sum over ranks of block r of `input` [sum of counts]. `counts` has one entry per
  /// rank. In place: `output` may be this rank's block of `input` (the other blocks stay as they are), or be
  /// apart.
  virtual void reduceScatter(const void* input, void* output, const std::vector<size_t>& counts,
                             DType dtype) = 0;

  /// `data` [count] = sum over ranks of `data`; in place, the same bits on all ranks.
  virtual void allReduce(void* data, size_t count, DType dtype) = 0;

  /// `data` [bytes] of all ranks = that of `root`.
  virtual void broadcast(void* data, size_t bytes, int root) = 0;

  /// Done once every rank has entered.
  virtual void barrier() = 0;

  struct Send {
    int peer;
    const void* data;
    size_t bytes;
  };
  struct Receive {
    int peer;
    void* data;
    size_t bytes;
  };
  /// All sends and receives at once, so neighbours that send to each other cannot wait for each other.
  /// Several with the same peer are matched in order. Buffers must not overlap.
  virtual void exchange(const std::vector<Send>& sends, const std::vector<Receive>& receives) = 0;

  /// A state's way through the segments of all ranks, up the ranks (`step` 1) or down (-1).
  struct Chain {
    LongscanTransition segment;  // this rank's; S and out are not looked at
    int64_t numRows;             // B H R
    float* incoming;  // [B, H, R, N], takes what enters this rank; null on the rank where it begins
    int step;
  };
  /// One launch on each rank, where the engine has such chains: `chainObstacle` is empty.
  virtual void chain(const Chain&) {
    throw Error("E-ARGUMENT", "a group without chains: " + chainObstacle());
  }
  /// Why it has none.
  virtual std::string chainObstacle() const { return "for ranks whose GPUs share memory"; }

  /// Bytes that this rank has sent so far. Readable from any thread.
  virtual uint64_t bytesSent() const = 0;

  /// Frees whoever waits and makes every verb throw E-COMM-ABORT with the first reason. Never blocks; from
  /// any thread; does nothing after another failure.
  virtual void abort(const std::string& reason) = 0;

  /// Gives the connections back after the work so far; later verbs throw E-COMM-CLOSED. Idempotent.
  virtual void close() = 0;

  /// Says that `close` is queued on the stream, which `detach` then waits for.
  virtual void expectClose() {}

  /// From here on nothing of the stream's context is touched any more, by no thread: it is about to go.
  /// Blocks; from any thread. An engine without threads of its own has nothing to do.
  virtual void detach() {}
};

}  // namespace longscan
