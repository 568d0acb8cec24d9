#pragma once

#include <napi.h>

#include <array>
#include <functional>
#include <string>

#include "../core/scratch.h"
#include "../core/stream.h"
#include "addon_data.h"

namespace longscan {

/// The arguments of one native call, read in order and checked as they are read; names appear in the
/// messages. Tensors read through it are noted, so that `enqueue` can tell the allocator who uses what.
class Args {
 public:
  Args(const Napi::CallbackInfo& info, const char* function) : info_(info), function_(function) {}

  Napi::Env env() const { return info_.Env(); }
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

  /// Throws E-ARGUMENT with this function's name in front unless `ok`.
  void check(bool ok, const std::string& message) const;
  /// Both f32 or both f64 (and so on); ops have no mixed arithmetic.
  void checkSameType(const TensorRef& a, const TensorRef& b) const;
  /// What `sizedTensor` checks, for a tensor that was read before its size was known; an empty one passes.
  void checkSize(const TensorRef& tensor, const TensorRef& like, int64_t count, const char* name) const;
  /// i32 [B, T] or empty.
  void checkResets(const TensorRef& resets, int64_t B, int64_t T) const;

  /// Puts the work on the stream that was read, in the name of this function.
  uint64_t enqueue(std::function<void()> task);
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
  Napi::Value next(const char* name);
  const Napi::CallbackInfo& info_;
  const char* const function_;
  size_t position_ = 0;
  Stream* stream_ = nullptr;
  std::array<Block*, 24> blocks_;
  size_t numBlocks_ = 0;
  ShapeList shapes_;
};

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

/// Calls `body` with `float` or `double` for the dtype of an op's tensors.
template <typename Body>
void dispatchFloat(const Args& args, DType dtype, Body body) {
  args.check(dtype == DType::f32 || dtype == DType::f64,
             std::string("no CPU kernel for ") + dtypeName(dtype) + ", only f32 and f64");
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
