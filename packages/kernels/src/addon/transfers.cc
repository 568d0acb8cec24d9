#include <cstring>
#include <vector>

#include "args.h"

// Tensors to and from the host.
namespace longscan {

namespace {

Napi::Value tensorRead(Args& args) {
  Stream& stream = args.stream();
  const TensorRef tensor = args.tensor("tensor");
  args.refuseInRecording("a copy to the host");
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
  stream.context().allocator().touch(tensor.block, stream, stream.last());
  return promise;
}

/// Holds up the JavaScript thread, which no op may do; for definitions that tests compare ops with.
Napi::Value tensorReadBlocking(Args& args) {
  Stream& stream = args.stream();
  const TensorRef tensor = args.tensor("tensor");
  args.refuseInRecording("a copy to the host");
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
  args.refuseInRecording("a copy from the host");
  args.check(source.IsTypedArray(), "bytes is not a typed array");
  const auto array = source.As<Napi::TypedArray>();
  args.check(array.ByteLength() == tensor.bytes(), [&] {
    return std::to_string(array.ByteLength()) + " bytes for a tensor of " + std::to_string(tensor.bytes());
  });
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

}  // namespace

void registerTransfers(Registry& registry) {
  registry.add("tensorRead", 2, tensorRead);
  registry.add("tensorReadBlocking", 2, tensorReadBlocking);
  registry.add("tensorWrite", 3, tensorWrite);
}

}  // namespace longscan
