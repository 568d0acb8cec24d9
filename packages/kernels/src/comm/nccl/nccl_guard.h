#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "../../core/cuda_timeline.h"
#include "../../core/stream.h"
#include "../comm_error.h"
#include "nccl.h"

namespace longscan {

/// What a launch is, for messages.
struct NcclWork {
  std::string name;                                                 // `a receive of 16 bytes from rank 2`
  std::vector<int> peers;                                           // the ranks that it needs; empty: all
  std::optional<std::chrono::milliseconds> timeout = std::nullopt;  // not given: the guard's
};

/// One NCCL communicator and the thread that watches over it, which alone aborts and destroys it. No call of
/// NCCL blocks: the communicator is a non-blocking one, and whoever needs a call's outcome asks for it until
/// it is there, a deadline passes or somebody aborts.
///
/// The watching thread knows what the GPU has not finished. It ends that, and fails the context, when a
/// launch has been running for longer than the timeout, when NCCL reports a failure (a peer's connection
/// ended), and when somebody aborts: the kernels of an aborted communicator return, so the GPU's stream is
/// free at once.
class NcclGuard {
 public:
  /// `label` begins every message. `stream` is a GPU's, and the only one that launches. A launch may run on
  /// the GPU for `timeout`, counted from when it gets its turn there.
  static std::shared_ptr<NcclGuard> start(const Nccl& nccl, std::string label, int rank, int size,
                                          Stream& stream, std::chrono::milliseconds timeout);
  ~NcclGuard();
  NcclGuard(const NcclGuard&) = delete;
  NcclGuard& operator=(const NcclGuard&) = delete;

  const Nccl& nccl() const { return nccl_; }
  const std::string& label() const { return label_; }

  // On the stream's thread.
  /// Joins the group of this id; once. Throws CommError E-COMM-CONNECT, E-NCCL.
  void connect(const Nccl::UniqueId& id, std::chrono::milliseconds timeout);
  /// `calls` makes NCCL's calls, one group, and returns the first status that is a failure. Returns once they
  /// are on the GPU's stream. Throws CommError.
  using Calls = std::function<int(ncclComm*, CUstream_st*)>;
  void launch(NcclWork work, const Calls& calls);
  /// Kernels of our own between ranks, of which NCCL knows nothing.
  struct OwnWork {
    std::function<void()> stop;     // ends them wherever they wait on the GPU
    std::function<void()> leave;    // tells peers that this rank gives up
    std::function<int()> lostPeer;  // the rank whose giving up they have seen; -1: none
  };
  /// Watches over such work too, from before the first `launchOwn`. The functions are called by any thread
  /// and never block.
  void watchOver(OwnWork own);
  /// Counts collectives from 1 again: those of the setting up are nobody's.
  void restartNumbers() { numLaunches_ = 0; }
  /// `launch` puts it on the GPU's stream; throws Error.
  void launchOwn(NcclWork work, const std::function<void(CUstream_st*)>& launch);
  /// A byte of device memory, for barriers; while connected.
  void* byte() const { return reinterpret_cast<void*>(byte_); }

  // From any thread.
  bool hasFailed() const { return failure_.isSet(); }
  /// Never blocks.
  void abort(const std::string& reason);
  /// Ends the communicator when its work so far is done, which it is on the GPU. Waits for the other ranks of
  /// the host to close theirs too, up to `closePatience`.
  void close();
  /// Says that `close` will follow.
  void expectClose();
  /// Aborts what is open, unless `close` is expected and comes. Afterwards the stream and its context are not
  /// touched any more.
  void detach();

  /// A communicator is destroyed together with those of other ranks on its host; ranks that are still at work
  /// hold it up.
  static constexpr std::chrono::milliseconds closePatience{10'000};

 private:
  using Clock = std::chrono::steady_clock;
  using Deadline = Clock::time_point;
  struct Launched {
    NcclWork work;
    CUevent_st *begin, *end;                 // points of the stream
    std::optional<Clock::time_point> begun;  // when the GPU was seen to have come to `begin`
  };
  enum class Phase { watching, ending, ended };

  NcclGuard(const Nccl& nccl, std::string label, int rank, int size, Stream& stream,
            std::chrono::milliseconds timeout);
  /// Stores the first failure and wakes the thread, which ends the communicator. Throws the one stored.
  [[noreturn]] void failWith(const CommError& error);
  CommError errorOf(int status, const NcclWork& work) const;
  CommError deadlineError(const NcclWork& work) const;
  std::chrono::milliseconds timeoutOf(const NcclWork& work) const { return work.timeout.value_or(timeout_); }
  std::string namePeer(const NcclWork& work) const;
  /// Asks until the last call's outcome is known; throws CommError: its failure, `late` after the deadline.
  void awaitOutcome(const NcclWork& work, Deadline deadline, const CommError& late);
  void wake();
  /// Hands what was just launched to the thread.
  void watchLaunch(NcclWork work, CUevent_st* begin);

  // The watching thread.
  void watch();
  void look();
  void end();
  /// Lets what is under way come to its end; false if it does not.
  bool finalize(ncclComm* comm) const;
  void finish();
  void enter(Phase phase);

  const Nccl& nccl_;
  const std::string label_;
  const int rank_, size_;
  // Of the context: touched by the thread while `phase_` is `watching` only.
  Stream& stream_;
  CudaTimeline& timeline_;
  const CudaDriver& driver_;
  const std::chrono::milliseconds timeout_;

  std::mutex mutex_;  // of `comm_`, every call with it, and `launched_`
  ncclComm* comm_ = nullptr;
  std::deque<Launched> launched_;  // what the GPU has not been seen to finish
  int numLaunches_ = 0;            // of the stream's thread
  CudaDriver::Pointer byte_ = 0;
  OwnWork own_;  // with the mutex; empty: there is none
  FailureLatch failure_;

  std::mutex signalMutex_;  // of what follows; held for moments only
  std::condition_variable signal_;
  bool closing_ = false, closeIsExpected_ = false, hasWork_ = false;
  Phase phase_ = Phase::watching;

  std::mutex finishMutex_;
  std::thread thread_;
};

}  // namespace longscan
