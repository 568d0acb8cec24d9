#include <cstring>
#include <vector>

#include "args.h"

// Tensors to and from the host, and the time that work takes.
namespace longscan {

namespace {

Napi::Value tensorRead(Args& args) {
  Stream& stream = args.stream();
  const TensorRef tensor = args.tensor("tensor");
  auto buffer = Napi::ArrayBuffer::New(args.env(), tensor.bytes());
  void* target = buffer.Data();
  const size_t bytes = tensor.bytes();
  std::function<void()> copy = [=] { std::memcpy(target, tensor.data, bytes); };
  std::function<void()> afterwards;
  if (CudaTimeline* timeline = stream.timeline()) {
    // What is small (a loss) goes through page-locked memory: launching goes on meanwhile.
    const bool isSmall = bytes <= CudaDevice::stagingBytes;
    const std::shared_ptr<void> staging = isSmall ? timeline->device().staging() : nullptr;
    copy = [=] { timeline->copyToHost(tensor.data, staging ? staging.get() : target, bytes); };
    if (isSmall) afterwards = [=] { std::memcpy(target, staging.get(), bytes); };
  }
  const auto promise = args.data().settle(args.env(), stream, std::move(copy), buffer, std::move(afterwards));
  Allocator::touch(tensor.block, stream, stream.last());
  return promise;
}

/// Holds up the JavaScript thread, which no op may do; for definitions that tests compare ops with.
Napi::Value tensorReadBlocking(Args& args) {
  Stream& stream = args.stream();
  const TensorRef tensor = args.tensor("tensor");
  auto buffer = Napi::ArrayBuffer::New(args.env(), tensor.bytes());
  void* target = buffer.Data();
  if (CudaTimeline* timeline = stream.timeline()) {
    args.enqueueAnywhere([=] { timeline->copyToHost(tensor.data, target, tensor.bytes()); });
    stream.waitFor(stream.last());
  } else {
    stream.waitFor(stream.last());
    std::memcpy(target, tensor.data, tensor.bytes());
  }
  return buffer;
}

Napi::Value tensorWrite(Args& args) {
  Stream& stream = args.stream();
  const TensorRef tensor = args.tensor("tensor");
  const Napi::Value source = args.value("bytes");
  args.check(source.IsTypedArray(), "bytes is not a typed array");
  const auto array = source.As<Napi::TypedArray>();
  args.check(array.ByteLength() == tensor.bytes(),
             std::to_string(array.ByteLength()) + " bytes for a tensor of " + std::to_string(tensor.bytes()));
  const auto* begin = static_cast<const char*>(array.ArrayBuffer().Data()) + array.ByteOffset();
  // Copied now: JavaScript may change the array before the stream gets here.
  auto bytes = std::make_shared<std::vector<char>>(begin, begin + array.ByteLength());
  args.enqueueAnywhere([tensor, bytes, timeline = stream.timeline()] {
    if (timeline) {
      timeline->copyFromHost(bytes->data(), tensor.data, bytes->size());
    } else {
      std::memcpy(tensor.data, bytes->data(), bytes->size());
    }
  });
  return args.env().Undefined();
}

Napi::Value stopwatchStart(Args& args) {
  auto watch = std::make_shared<Stopwatch>(args.stream());
  args.enqueueAnywhere([watch] { watch->begin(); });
  return Napi::Number::New(args.env(), args.data().stopwatches.add(watch));
}

Napi::Value stopwatchStop(Args& args) {
  Stream& stream = args.stream();
  const double id = args.number("watch");
  const auto watch = args.data().stopwatches.find(id);
  args.check(watch != nullptr && &watch->stream() == &stream,
             "no stopwatch of this stream, or stopped already");
  args.data().stopwatches.remove(id);
  auto buffer = Napi::ArrayBuffer::New(args.env(), sizeof(double));
  auto* ms = static_cast<double*>(buffer.Data());
  return args.data().settle(
      args.env(), stream, [watch] { watch->end(); }, buffer, [watch, ms] { *ms = watch->elapsedMs(); });
}

}  // namespace

void registerTransfers(Registry& registry) {
  registry.add("tensorRead", 2, tensorRead);
  registry.add("tensorReadBlocking", 2, tensorReadBlocking);
  registry.add("tensorWrite", 3, tensorWrite);
  registry.add("stopwatchStart", 1, stopwatchStart);
  registry.add("stopwatchStop", 2, stopwatchStop);
}

}  // namespace longscan
