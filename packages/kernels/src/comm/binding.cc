#include "comm_data.h"

// What a communicator is asked apart from collectives (bind_collectives.cc) and its making (bind_groups.cc).
namespace longscan {

CommData& commData(Args& args) {
  auto& slot = args.data().extensions["comm"];
  if (!slot) slot = std::make_shared<CommData>();
  return *static_cast<CommData*>(slot.get());
}

Napi::Value addCommunicator(Args& args, std::shared_ptr<Communicator> communicator, const Stream& stream) {
  auto handle = std::make_shared<CommHandle>();
  handle->communicator = std::move(communicator);
  handle->stream = static_cast<uint64_t>(args.data().streamId(&stream));
  return Napi::Number::New(args.env(), commData(args).communicators.add(std::move(handle)));
}

namespace {

std::shared_ptr<CommHandle> handleArgument(Args& args) {
  auto handle = commData(args).communicators.find(args.number("communicator"));
  args.check(handle != nullptr, "the communicator is closed");
  return handle;
}

Napi::Value bindBytesSent(Args& args) {
  return Napi::Number::New(args.env(), static_cast<double>(handleArgument(args)->communicator->bytesSent()));
}

Napi::Value bindChainObstacle(Args& args) {
  return Napi::String::New(args.env(), handleArgument(args)->communicator->chainObstacle());
}

Napi::Value bindAttachProgress(Args& args) {
  const auto handle = handleArgument(args);
  const Napi::Value value = args.value("slots");
  const int64_t index = args.integer("index");
  args.check(value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_int32_array,
             "slots is not an Int32Array");
  auto slots = value.As<Napi::Int32Array>();
  args.check(index >= 0 && static_cast<size_t>(index) < slots.ElementLength(), "index is outside of slots");
  handle->communicator->attachProgress(slots.Data() + index);
  handle->progress = Napi::Persistent(value.As<Napi::Object>());
  return args.env().Undefined();
}

/// Of a closed communicator there is nothing left to abort: who ends a job need not know which are closed
/// already.
Napi::Value bindAbort(Args& args) {
  const auto handle = commData(args).communicators.find(args.number("communicator"));
  const std::string reason = args.text("reason");
  if (handle != nullptr) handle->communicator->abort(reason);
  return args.env().Undefined();
}

Napi::Value bindClose(Args& args) {
  const double id = args.number("communicator");
  const auto handle = commData(args).communicators.find(id);
  args.check(handle != nullptr, "the communicator is closed already");
  const auto& streams = args.data().streams;
  const auto stream = streams.find(handle->stream);
  if (stream != streams.end()) {
    stream->second->context().refuseInRecording(std::string(args.function()) + ": closing a communicator");
  }
  handle->isClosed = true;
  if (stream == streams.end()) {
    handle->communicator->closeNow();
  } else {
    handle->communicator->close(*stream->second);
  }
  commData(args).communicators.remove(id);
  return args.env().Undefined();
}

}  // namespace

std::shared_ptr<Communicator> communicatorArgument(Args& args, const Stream& stream) {
  const auto handle = handleArgument(args);
  const auto own = args.data().streams.find(handle->stream);
  args.check(own != args.data().streams.end() && own->second == &stream,
             "the stream is not the communicator's");
  const CudaGraph* graph = own->second->context().recording();
  if (graph != nullptr && &graph->stream() == &stream) {
    throw Error("E-CUDA-GRAPH", std::string(args.function()) +
                                    ": a collective in a graph of the communicator's own stream. Fix: record "
                                    "another stream, which waits for it");
  }
  return handle->communicator;
}

void register_comm(Registry& registry) {
  registerGroups(registry);
  registerCollectives(registry);
  registry.add("commBytesSent", 1, bindBytesSent);
  registry.add("commChainObstacle", 1, bindChainObstacle);
  registry.add("commAttachProgress", 3, bindAttachProgress);
  registry.add("commAbort", 2, bindAbort);
  registry.add("commClose", 1, bindClose);
}

}  // namespace longscan
