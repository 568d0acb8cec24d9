#include "args.h"

#include <algorithm>
#include <cmath>

#include "errors.h"

namespace longscan {

void Args::refuse(const std::string& message) const {
  throw Error("E-ARGUMENT", std::string(function_) + ": " + message);
}

void Args::refuseArgument(const char* name, const std::string& what) const {
  refuse(std::string("argument \"") + name + "\" " + what);
}

Napi::Value Args::next(const char* name) {
  if (position_ >= info_.Length()) refuseArgument(name, "is missing");
  return info_[position_++];
}

Napi::Value Args::value(const char* name) {
  return next(name);
}

double Args::number(const char* name) {
  const Napi::Value value = next(name);
  if (!value.IsNumber()) refuseArgument(name, "is not a number");
  return value.As<Napi::Number>().DoubleValue();
}

int64_t Args::integer(const char* name) {
  const double value = number(name);
  if (std::nearbyint(value) != value || std::fabs(value) >= 9007199254740992.0)
    refuseArgument(name, "is not an integer: " + std::to_string(value));
  return static_cast<int64_t>(value);
}

bool Args::flag(const char* name) {
  const Napi::Value value = next(name);
  if (!value.IsBoolean()) refuseArgument(name, "is not a boolean");
  return value.As<Napi::Boolean>().Value();
}

std::string Args::text(const char* name) {
  const Napi::Value value = next(name);
  if (!value.IsString()) refuseArgument(name, "is not a string");
  return value.As<Napi::String>().Utf8Value();
}

Stream& Args::stream(const char* name) {
  const double id = number(name);
  const auto it = data().streams.find(static_cast<uint64_t>(id));
  if (it == data().streams.end()) refuseArgument(name, "is not a stream that is open");
  if (stream_ == nullptr) stream_ = it->second;
  return *it->second;
}

TensorRef Args::tensor(const char* name) {
  TensorRef tensor = data().tensors.get(number(name));
  check(numBlocks_ < blocks_.size(), "too many tensors");
  blocks_[numBlocks_++] = tensor.block;
  shapes_.add(tensor);
  return tensor;
}

TensorRef Args::tensor(const char* name, DType dtype) {
  TensorRef result = tensor(name);
  if (result.dtype != dtype)
    refuseArgument(name, std::string("is ") + dtypeName(result.dtype) + ", expected " + dtypeName(dtype));
  return result;
}

TensorRef Args::optionalTensor(const char* name) {
  if (position_ >= info_.Length()) refuseArgument(name, "is missing");
  if (info_[position_].IsNull()) {
    position_++;
    return {};
  }
  return tensor(name);
}

TensorRef Args::sizedTensor(const char* name, const TensorRef& like, int64_t count) {
  const TensorRef result = tensor(name);
  checkSize(result, like, count, name);
  return result;
}

TensorRef Args::optionalSizedTensor(const char* name, const TensorRef& like, int64_t count) {
  const TensorRef result = optionalTensor(name);
  checkSize(result, like, count, name);
  return result;
}

void Args::checkSameType(const TensorRef& a, const TensorRef& b) const {
  check(a.dtype == b.dtype, [&] {
    return std::string("tensors of type ") + dtypeName(a.dtype) + " and " + dtypeName(b.dtype) +
           " in one call";
  });
}

void Args::checkSize(const TensorRef& tensor, const TensorRef& like, int64_t count, const char* name) const {
  if (!tensor) return;
  checkSameType(like, tensor);
  check(tensor.numElements == count, [&] {
    return std::string(name) + " has " + std::to_string(tensor.numElements) + " elements, expected " +
           std::to_string(count);
  });
}

void Args::checkResets(const TensorRef& resets, int64_t B, int64_t T) const {
  check(!resets || (resets.dtype == DType::i32 && resets.numElements == B * T), "resets is not i32 [B, T]");
}

Args::~Args() {
  for (size_t i = 0; i < numWorkspaces_; i++) stream_->context().allocator().release(workspaces_[i]);
}

CudaDevice* Args::gpu() const {
  check(stream_ != nullptr, "no stream among the arguments");
  return stream_->context().cuda();
}

void Args::checkOnCpu() const {
  if (!onGpu()) return;
  throw Error("E-CUDA-KERNEL",
              std::string(function_) + ": no CUDA kernel. Fix: run this on the CPU (device.kind = \"cpu\")");
}

void Args::refuseInRecording(const char* what) const {
  stream_->context().refuseInRecording(std::string(function_) + ": " + what);
}

uint64_t Args::enqueue(std::function<void()> task) {
  checkOnCpu();
  return enqueueAnywhere(std::move(task));
}

uint64_t Args::enqueueAnywhere(std::function<void()> task) {
  const CudaDevice* device = gpu();
  const auto isHere = [&](const Block* block) {
    const CudaDevice* home = block == nullptr ? device : block->home->context().cuda();
    return home == device || (home != nullptr && device != nullptr && home->index() == device->index());
  };
  check(std::all_of(blocks_.begin(), blocks_.begin() + numBlocks_, isHere), "a tensor of another device");
  const uint64_t ticket = stream_->enqueue(function_, std::move(task), shapes_);
  Allocator& allocator = stream_->context().allocator();
  for (size_t i = 0; i < numBlocks_; i++) allocator.touch(blocks_[i], *stream_, ticket);
  return ticket;
}

void* Args::findCudaFunction(const char* name) const {
  CudaDevice* device = gpu();
  check(device != nullptr, "only for GPUs");
  return device->kernels().find(name, function_);
}

uint64_t Args::enqueueLaunch(std::function<int(CUstream_st*)> launch) {
  CudaDevice* device = gpu();
  check(device != nullptr, "only for GPUs");
  const CudaKernels& kernels = device->kernels();
  CUstream_st* stream = stream_->timeline()->stream();
  return enqueueAnywhere([launch, stream, &kernels] { kernels.check(launch(stream)); });
}

std::function<void()> Args::prepareGemm(const CudaGemm& gemm) const {
  check(onGpu(), "only for GPUs");
  for (const DType dtype : {gemm.a.dtype, gemm.c.dtype}) {
    if (dtype == DType::f32 || dtype == DType::bf16) continue;
    throw Error("E-CUDA-KERNEL",
                std::string(function_) + ": no CUDA kernel for " + dtypeName(dtype) +
                    ", only f32 and bf16. Fix: choose one of them, or the CPU (device.kind = \"cpu\")");
  }
  check(gemm.a.dtype == gemm.b.dtype && (gemm.c.dtype == gemm.a.dtype || gemm.c.dtype == DType::f32), [&] {
    return std::string("a product of ") + dtypeName(gemm.a.dtype) + " and " + dtypeName(gemm.b.dtype) +
           " in " + dtypeName(gemm.c.dtype);
  });
  return stream_->context().cudaGemm().prepare(gemm, *stream_);
}

uint64_t Args::enqueueGemm(const CudaGemm& gemm) {
  return enqueueAnywhere(prepareGemm(gemm));
}

void* Args::workspace(size_t bytes) {
  check(onGpu() && numWorkspaces_ < workspaces_.size(), "no workspace to be had");
  Block* block = stream_->context().allocator().allocate(bytes, *stream_);
  workspaces_[numWorkspaces_++] = block;
  return block->data;
}

namespace {

struct Entry {
  const char* name;
  size_t arity;
  Binding binding;
};

Napi::Value call(const Napi::CallbackInfo& info) {
  const auto* entry = static_cast<const Entry*>(info.Data());
  try {
    Args args(info, entry->name);
    args.check(info.Length() == entry->arity, [&] {
      return std::to_string(info.Length()) + " arguments, expected " + std::to_string(entry->arity);
    });
    return entry->binding(args);
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    const Error error = handledError(entry->name);
    throw toJsError(info.Env(), error.code(), error.what());
  }
}

}  // namespace

void Registry::add(const char* name, size_t arity, Binding binding) {
  auto* entry = new Entry{name, arity, binding};
  exports_.Set(name, Napi::Function::New(env_, call, name, entry));
  env_.AddCleanupHook([](Entry* e) { delete e; }, entry);
  arities_.Set(name, Napi::Number::New(env_, static_cast<double>(arity)));
}

}  // namespace longscan
