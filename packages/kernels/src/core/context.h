#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "allocator.h"
#include "cuda_device.h"
#include "cuda_gemm.h"
#include "parallel.h"
#include "stream.h"

namespace longscan {

class CudaGraph;

/// Everything native that belongs to one rank on one device: its memory, its streams, its compute threads,
/// and who must be told when one of them fails. Tests hold several in one process.
class Context {
 public:
  /// On the CPU.
  Context(int numThreads, int numParts, MemoryChecks checks)
      : allocator_(std::make_unique<HostMemory>(), checks), pool_(numThreads, numParts) {}
  /// On a GPU. `waitsAfterEachOp`: a failure is then known when its op has run, at the price of all overlap.
  Context(std::unique_ptr<CudaDevice> device, MemoryChecks checks, bool waitsAfterEachOp)
      : cuda_(std::move(device)),
        waitsAfterEachOp_(waitsAfterEachOp),
        allocator_(std::make_unique<CudaMemory>(*cuda_), checks),
        pool_(1) {}
  ~Context() { close(); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  /// `urgent`: a GPU prefers its work to that of streams that are not, as communication wants.
  Stream& createStream(std::string name, bool urgent);
  Allocator& allocator() { return allocator_; }
  ThreadPool& pool() { return pool_; }
  /// Null on the CPU.
  CudaDevice* cuda() const { return cuda_.get(); }
  /// Matrix products on that GPU; opens cuBLASLt at the first call. On the JavaScript thread. Throws
  /// E-CUBLAS.
  CudaGemmEngine& cudaGemm();
  bool waitsAfterEachOp() const { return waitsAfterEachOp_; }

  // Of the JavaScript thread.
  /// What is enqueued on any stream from here to `endRecording` is the graph's, and so is memory; see
  /// Allocator.
  void beginRecording(CudaGraph& graph);
  std::shared_ptr<RecordedMemory> endRecording();
  /// Null: none is recorded.
  CudaGraph* recording() const { return recording_; }
  /// Throws E-CUDA-GRAPH while one is: `what` would happen now, and not with each launch.
  void refuseInRecording(const std::string& what) const;
  /// Points of recorded work so far. They go on from one recording to the next, which so know their own.
  uint64_t numPoints() const { return numPoints_; }
  uint64_t addPoint() { return ++numPoints_; }

  /// The first failure of any stream: every stream of the context skips what follows, and each abort hook
  /// runs (communicators wake their waiters and tell their peers). Callable from any thread.
  void fail(const StreamFailure& failure);
  /// True if this message is the failure that the context already stored.
  bool isOwnFailure(const std::string& message);

  /// Adds something to be told of a failure; returns a number for `removeAbortHook`. `onClose`, if any, ends
  /// what uses the context from threads of its own, and has ended it when it returns.
  int addAbortHook(std::function<void(const StreamFailure&)> hook, std::function<void()> onClose = nullptr);
  void removeAbortHook(int number);

  /// Aborts what is blocked and joins all threads. Blocks stay valid until destruction.
  void close();

 private:
  struct Hook {
    int number;
    std::function<void(const StreamFailure&)> run;
    std::function<void()> onClose;  // may be null
  };
  const std::unique_ptr<CudaDevice> cuda_;
  const bool waitsAfterEachOp_ = false;
  Allocator allocator_;
  ThreadPool pool_;
  std::unique_ptr<CudaGemmEngine> cudaGemm_;
  CudaGraph* recording_ = nullptr;
  uint64_t numPoints_ = 0;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::mutex mutex_;
  std::vector<Hook> hooks_;
  int nextHook_ = 1;
  std::optional<StreamFailure> failure_;
};

}  // namespace longscan
