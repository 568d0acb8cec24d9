#pragma once

#include <napi.h>

#include <array>
#include <functional>
#include <string>

#include "../core/cuda_gemm.h"
#include "../core/cuda_timeline.h"
#include "../core/scratch.h"
#include "../core/stream.h"
#include "addon_data.h"

namespace longscan {

/// The arguments of one native call, read in order and checked as they are read; names appear in the
/// messages. Tensors read through it are noted, so that `enqueue` can tell the allocator who uses what.
class Args {
 public:
  Args(const Napi::CallbackInfo& info, const char* function) : info_(info), function_(function) {}
  ~Args();
  Args(const Args&) = delete;
  Args& operator=(const Args&) = delete;

  Napi::Env env() const { return info_.Env(); }
  const char* function() const { return function_; }
  AddonData& data() const { return addonData(info_.Env()); }

  Stream& stream(const char* name = "stream");
  TensorRef tensor(const char* name);
  /// A tensor of exactly this type.
  TensorRef tensor(const char* name, DType dtype);
  /// `null` becomes an empty reference.
  TensorRef optionalTensor(const char* name);
  /// A tensor of `like`'s type with `count` elements; the optional one may be `null`, an empty reference.
  TensorRef sizedTensor(const char* name, const TensorRef& like, int64_t count);
  TensorRef optionalSizedTensor(const char* name, const TensorRef& like, int64_t count);
  double number(const char* name);
  int64_t integer(const char* name);
  bool flag(const char* name);
  std::string text(const char* name);
  Napi::Value value(const char* name);

  /// Throws E-ARGUMENT with this function's name in front unless `ok`. A message that has to be put together
  /// is a function that does so: checks are in every native call, and hardly one of them fails.
  void check(bool ok, const char* message) const {
    if (!ok) refuse(message);
  }
  template <typename MakeMessage>
  void check(bool ok, const MakeMessage& makeMessage) const {
    if (!ok) refuse(makeMessage());
  }
  /// Throws E-CUDA-KERNEL if the stream that was read is a GPU's.
  void checkOnCpu() const;
  /// Throws E-CUDA-GRAPH, `what` named, while a graph of the device of the stream that was read is recorded.
  void refuseInRecording(const char* what) const;
  /// Both f32 or both f64 (and so on); ops have no mixed arithmetic.
  void checkSameType(const TensorRef& a, const TensorRef& b) const;
  /// What `sizedTensor` checks, for a tensor that was read before its size was known; an empty one passes.
  void checkSize(const TensorRef& tensor, const TensorRef& like, int64_t count, const char* name) const;
  /// i32 [B, T] or empty.
  void checkResets(const TensorRef& resets, int64_t B, int64_t T) const;

  /// Puts the CPU's work on the stream that was read, in the name of this function. Throws E-CUDA-KERNEL if
  /// that is a GPU's.
  uint64_t enqueue(std::function<void()> task);
  /// The same for work that looks after CPU and GPU itself.
  uint64_t enqueueAnywhere(std::function<void()> task);

  /// Whether the stream that was read is a GPU's.
  bool onGpu() const { return gpu() != nullptr; }
  /// Whether that is of compute capability 9.0, for which some kernels are written.
  bool onHopper() const { return onGpu() && gpu()->capability() == 90; }
  /// A function that an op's cuda.h declares, out of the library of kernels; see LONGSCAN_CUDA_FUNCTION.
  template <typename Function>
  Function* cudaFunction(const char* name) const {
    return reinterpret_cast<Function*>(findCudaFunction(name));
  }
  /// Puts `launch`, which returns a cudaError_t, on the GPU's stream that was read.
  uint64_t enqueueLaunch(std::function<int(CUstream_st*)> launch);
  /// Puts a matrix product on that stream. Throws E-CUDA-KERNEL for types other than f32 and bf16, E-CUBLAS.
  uint64_t enqueueGemm(const CudaGemm& gemm);
  /// What launches it on that stream's thread, for an op of several.
  std::function<void()> prepareGemm(const CudaGemm& gemm) const;
  /// Device memory for one launch on that stream, given back with this call: later work may have it, in
  /// order.
  void* workspace(size_t bytes);
  /// Enqueues `body(zero, begin, end)` for the ranges of [0, count) that the stream's threads take, zero
  /// being a `float` or a `double` as the dtype says.
  template <typename Body>
  void enqueueRanges(DType dtype, int64_t count, int64_t workPerItem, Body body);
  /// Enqueues `kernel` for the heads of a recurrence, `task.call.B * task.call.H`, a fixed share per thread,
  /// each with scratch memory of its own.
  template <typename Task>
  void enqueueHeads(const Task& task, size_t scratchBytes,
                    void (*kernel)(const Task& task, int64_t begin, int64_t end, void* scratch));

 private:
  [[noreturn]] void refuse(const std::string& message) const;
  [[noreturn]] void refuseArgument(const char* name, const std::string& what) const;
  Napi::Value next(const char* name);
  CudaDevice* gpu() const;
  void* findCudaFunction(const char* name) const;
  const Napi::CallbackInfo& info_;
  const char* const function_;
  size_t position_ = 0;
  Stream* stream_ = nullptr;
  std::array<Block*, 24> blocks_;
  size_t numBlocks_ = 0;
  std::array<Block*, 4> workspaces_;
  size_t numWorkspaces_ = 0;
  ShapeList shapes_;
};

/// `function` of an op's cuda.h, with its type. Throws E-CUDA-KERNEL if the library lacks it.
#define LONGSCAN_CUDA_FUNCTION(args, function) (args).cudaFunction<decltype(function)>(#function)

/// One native function: reads its arguments, enqueues, returns a value or undefined.
using Binding = Napi::Value (*)(Args& args);

/// Collects the functions of the addon. `arity` is compared with the call and, by a test, with native.ts.
class Registry {
 public:
  Registry(Napi::Env env, Napi::Object exports)
      : env_(env), exports_(exports), arities_(Napi::Object::New(env)) {}
  void add(const char* name, size_t arity, Binding binding);
  Napi::Object arities() const { return arities_; }

 private:
  Napi::Env env_;
  Napi::Object exports_;
  Napi::Object arities_;
};

/// 1 for bf16, 0 for f32, the types of tensors that CUDA kernels of flat arrays take.
inline int isBf16(const Args& args, const TensorRef& tensor) {
  if (tensor.dtype == DType::bf16 || tensor.dtype == DType::f32) return tensor.dtype == DType::bf16;
  throw Error("E-CUDA-KERNEL", std::string(args.function()) + ": no CUDA kernel for " +
                                   dtypeName(tensor.dtype) + ", only f32 and bf16");
}

/// Calls `body` with `float` or `double` for the dtype of an op's tensors.
template <typename Body>
void dispatchFloat(const Args& args, DType dtype, Body body) {
  args.checkOnCpu();
  args.check(dtype == DType::f32 || dtype == DType::f64,
             [&] { return std::string("no CPU kernel for ") + dtypeName(dtype) + ", only f32 and f64"; });
  if (dtype == DType::f32) {
    body(float{});
  } else {
    body(double{});
  }
}

template <typename Body>
void Args::enqueueRanges(DType dtype, int64_t count, int64_t workPerItem, Body body) {
  ThreadPool& pool = stream_->context().pool();
  dispatchFloat(*this, dtype, [&](auto zero) {
    enqueue([=, &pool] {
      parallelFor(pool, count, workPerItem, [&](int64_t begin, int64_t end) { body(zero, begin, end); });
    });
  });
}

template <typename Task>
void Args::enqueueHeads(const Task& task, size_t scratchBytes,
                        void (*kernel)(const Task& task, int64_t begin, int64_t end, void* scratch)) {
  ThreadPool& pool = stream_->context().pool();
  enqueue([task, scratchBytes, kernel, &pool] {
    runWithScratch(pool, task.call.B * task.call.H, scratchBytes,
                   [&](int64_t begin, int64_t end, void* scratch) { kernel(task, begin, end, scratch); });
  });
}

}  // namespace longscan
