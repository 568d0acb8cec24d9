#include <limits>
#include <numeric>

#include "../ops/transition/segment_arguments.h"
#include "comm_data.h"

// The verbs. Each checks sizes on the JavaScript thread, then puts one collective on the communicator's
// stream.
namespace longscan {

namespace {

/// The tensors of an array argument. `Args` notes only those it reads itself, hence `touchAll`.
std::vector<TensorRef> tensorsArgument(Args& args, const char* name) {
  const Napi::Value value = args.value(name);
  args.check(value.IsArray(), [&] { return std::string(name) + " is not an array"; });
  const auto ids = value.As<Napi::Array>();
  std::vector<TensorRef> tensors;
  for (uint32_t i = 0; i < ids.Length(); i++) {
    tensors.push_back(args.data().tensors.get(Napi::Value(ids[i]).ToNumber()));
  }
  return tensors;
}

std::vector<int64_t> integersArgument(Args& args, const char* name) {
  const Napi::Value value = args.value(name);
  args.check(value.IsArray(), [&] { return std::string(name) + " is not an array"; });
  const auto list = value.As<Napi::Array>();
  std::vector<int64_t> integers;
  for (uint32_t i = 0; i < list.Length(); i++)
    integers.push_back(Napi::Value(list[i]).ToNumber().Int64Value());
  return integers;
}

void touchAll(const std::vector<TensorRef>& tensors, Stream& stream, uint64_t ticket) {
  for (const TensorRef& tensor : tensors) stream.context().allocator().touch(tensor.block, stream, ticket);
}

void checkPeers(const Args& args, const Communicator& communicator, const std::vector<int64_t>& peers) {
  for (const int64_t peer : peers) {
    args.check(peer >= 0 && peer < communicator.size() && peer != communicator.rank(), [&] {
      return "peer " + std::to_string(peer) + " is not another rank of a group of " +
             std::to_string(communicator.size());
    });
  }
}

void checkSummable(const Args& args, const TensorRef& tensor) {
  args.check(tensor.dtype == DType::f32 || tensor.dtype == DType::f64, [&] {
    return std::string("sums over ranks are of f32 or f64, not of ") + dtypeName(tensor.dtype);
  });
}

Napi::Value bindExchange(Args& args) {
  Stream& stream = args.stream("stream");
  const auto communicator = communicatorArgument(args, stream);
  const auto sendTensors = tensorsArgument(args, "sends");
  const auto sendPeers = integersArgument(args, "sendPeers");
  const auto receiveTensors = tensorsArgument(args, "receives");
  const auto receivePeers = integersArgument(args, "receivePeers");
  args.check(sendTensors.size() == sendPeers.size() && receiveTensors.size() == receivePeers.size(),
             "tensors and peers differ in length");
  checkPeers(args, *communicator, sendPeers);
  checkPeers(args, *communicator, receivePeers);
  std::vector<Collectives::Send> sends;
  std::vector<Collectives::Receive> receives;
  for (size_t i = 0; i < sendTensors.size(); i++) {
    sends.push_back({static_cast<int>(sendPeers[i]), sendTensors[i].data, sendTensors[i].bytes()});
  }
  for (size_t i = 0; i < receiveTensors.size(); i++) {
    receives.push_back(
        {static_cast<int>(receivePeers[i]), receiveTensors[i].data, receiveTensors[i].bytes()});
  }
  const uint64_t ticket = args.enqueueAnywhere(
      communicator->task([=](Collectives& collectives) { collectives.exchange(sends, receives); }));
  touchAll(sendTensors, stream, ticket);
  touchAll(receiveTensors, stream, ticket);
  return args.env().Undefined();
}

Napi::Value bindAllGather(Args& args) {
  const auto communicator = communicatorArgument(args, args.stream("stream"));
  const TensorRef input = args.tensor("input");
  const TensorRef output = args.tensor("output");
  args.checkSameType(input, output);
  args.check(output.numElements == input.numElements * communicator->size(), [&] {
    return "output has " + std::to_string(output.numElements) + " elements, expected " +
           std::to_string(communicator->size()) + " x " + std::to_string(input.numElements);
  });
  args.enqueueAnywhere(communicator->task(
      [=](Collectives& collectives) { collectives.allGather(input.data, output.data, input.bytes()); }));
  return args.env().Undefined();
}

Napi::Value bindReduceScatter(Args& args) {
  const auto communicator = communicatorArgument(args, args.stream("stream"));
  const TensorRef input = args.tensor("input");
  const TensorRef output = args.tensor("output");
  const auto list = integersArgument(args, "counts");
  args.checkSameType(input, output);
  checkSummable(args, input);
  const std::vector<size_t> counts(list.begin(), list.end());
  const auto rank = static_cast<size_t>(communicator->rank());
  args.check(counts.size() == static_cast<size_t>(communicator->size()), "counts needs one entry per rank");
  args.check(
      std::accumulate(counts.begin(), counts.end(), size_t{0}) == static_cast<size_t>(input.numElements),
      [&] {
        return "counts do not add up to the " + std::to_string(input.numElements) + " elements of input";
      });
  args.check(counts[rank] == static_cast<size_t>(output.numElements), [&] {
    return "output has " + std::to_string(output.numElements) + " elements, this rank's block " +
           std::to_string(counts[rank]);
  });
  args.enqueueAnywhere(communicator->task([=](Collectives& collectives) {
    collectives.reduceScatter(input.data, output.data, counts, input.dtype);
  }));
  return args.env().Undefined();
}

Napi::Value bindAllReduce(Args& args) {
  const auto communicator = communicatorArgument(args, args.stream("stream"));
  const TensorRef tensor = args.tensor("tensor");
  checkSummable(args, tensor);
  args.enqueueAnywhere(communicator->task([=](Collectives& collectives) {
    collectives.allReduce(tensor.data, static_cast<size_t>(tensor.numElements), tensor.dtype);
  }));
  return args.env().Undefined();
}

Napi::Value bindBroadcast(Args& args) {
  const auto communicator = communicatorArgument(args, args.stream("stream"));
  const TensorRef tensor = args.tensor("tensor");
  const int64_t root = args.integer("root");
  args.check(root >= 0 && root < communicator->size(),
             [&] { return "root " + std::to_string(root) + " is not a rank"; });
  args.enqueueAnywhere(communicator->task([=](Collectives& collectives) {
    collectives.broadcast(tensor.data, tensor.bytes(), static_cast<int>(root));
  }));
  return args.env().Undefined();
}

Napi::Value bindBarrier(Args& args) {
  const auto communicator = communicatorArgument(args, args.stream("stream"));
  args.enqueueAnywhere(communicator->task([](Collectives& collectives) { collectives.barrier(); }));
  return args.env().Undefined();
}

Napi::Value bindChain(Args& args) {
  const auto communicator = communicatorArgument(args, args.stream("stream"));
  const SegmentArguments segment(args);
  const TensorRef incoming = args.optionalSizedTensor("incoming", segment.E, segment.E.numElements);
  const int64_t step = args.integer("step");
  args.check(step == 1 || step == -1, "step is neither 1 nor -1");
  args.check(segment.numRows() <= std::numeric_limits<int>::max(), "a state of too many rows");
  const bool isFirst = communicator->rank() == (step == 1 ? 0 : communicator->size() - 1);
  args.check(communicator->size() > 1 && isFirst != static_cast<bool>(incoming),
             "a state enters every rank but that where the chain begins");
  const Collectives::Chain chain{segment.onGpu(args), segment.numRows(), incoming.as<float>(),
                                 static_cast<int>(step)};
  args.enqueueAnywhere(communicator->task([=](Collectives& collectives) { collectives.chain(chain); }));
  return args.env().Undefined();
}

// Runs in the stream's order, unlike commBytesSent: what was sent before this point.
Napi::Value bindRecordBytes(Args& args) {
  Stream& stream = args.stream("stream");
  const auto communicator = communicatorArgument(args, stream);
  const TensorRef target = args.tensor("target", DType::f64);
  const int64_t index = args.integer("index");
  args.check(index >= 0 && index < target.numElements, "index outside of target");
  double* slot = target.as<double>() + index;
  args.enqueueAnywhere([=, timeline = stream.timeline()] {
    const auto bytes = static_cast<double>(communicator->bytesSent());
    if (timeline == nullptr) {
      *slot = bytes;
    } else {
      timeline->copyFromHost(&bytes, slot, sizeof(bytes));
    }
  });
  return args.env().Undefined();
}

}  // namespace

void registerCollectives(Registry& registry) {
  registry.add("commExchange", 6, bindExchange);
  registry.add("commAllGather", 4, bindAllGather);
  registry.add("commReduceScatter", 5, bindReduceScatter);
  registry.add("commAllReduce", 3, bindAllReduce);
  registry.add("commBroadcast", 4, bindBroadcast);
  registry.add("commBarrier", 2, bindBarrier);
  registry.add("commChain", 10, bindChain);
  registry.add("commRecordBytes", 4, bindRecordBytes);
}

}  // namespace longscan
