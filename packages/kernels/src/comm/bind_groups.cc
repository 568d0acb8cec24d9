#include "../core/context.h"
#include "comm_data.h"
#include "in-process/in_process_transport.h"
#include "nccl/nccl_collectives.h"
#include "nccl/nccl_group_id.h"
#include "tcp/tcp_transport.h"
#include "transport_collectives.h"

// How groups come about.
namespace longscan {

namespace {

std::chrono::milliseconds durationArgument(Args& args, const char* name) {
  const int64_t duration = args.integer(name);
  args.check(duration > 0, [&] { return std::string(name) + " is not positive"; });
  return std::chrono::milliseconds(duration);
}

std::vector<Address> addressesArgument(Args& args) {
  const Napi::Value hosts = args.value("hosts");
  const Napi::Value ports = args.value("ports");
  args.check(hosts.IsArray() && ports.IsArray(), "hosts and ports are not arrays");
  const auto hostList = hosts.As<Napi::Array>();
  const auto portList = ports.As<Napi::Array>();
  args.check(hostList.Length() == portList.Length(), "hosts and ports differ in length");
  std::vector<Address> addresses;
  for (uint32_t i = 0; i < hostList.Length(); i++) {
    const Napi::Value host = hostList[i];
    const Napi::Value port = portList[i];
    args.check(host.IsString() && port.IsNumber(), "an address is not a host and a port");
    addresses.push_back({host.As<Napi::String>().Utf8Value(), port.As<Napi::Number>().Int32Value()});
  }
  return addresses;
}

GroupMember memberArgument(Args& args) {
  GroupMember self;
  self.jobId = args.text("jobId");
  self.axis = args.text("axis");
  self.token = args.text("token");
  self.epoch = static_cast<uint64_t>(args.integer("epoch"));
  self.rank = static_cast<int>(args.integer("rank"));
  args.check(self.jobId.size() <= maxJobIdBytes, "jobId is longer than 64 bytes");
  args.check(self.axis.size() <= maxAxisBytes, "axis is longer than 32 bytes");
  args.check(self.token.size() >= minTokenBytes, "token is shorter than 16 bytes");
  return self;
}

Napi::Value bindListenerOpen(Args& args) {
  auto listener = std::make_shared<TcpListener>(args.text("host"));
  auto result = Napi::Object::New(args.env());
  result.Set("port", listener->port());
  result.Set("id", commData(args).listeners.add(std::move(listener)));
  return result;
}

Napi::Value bindListenerClose(Args& args) {
  const double id = args.number("listener");
  const auto listener = commData(args).listeners.find(id);
  args.check(listener != nullptr, "the listener is closed already");
  listener->close();
  commData(args).listeners.remove(id);
  return args.env().Undefined();
}

// Connecting is the first work on the communicator's stream, so an abort reaches it like any collective.
Napi::Value bindConnectTcp(Args& args) {
  Stream& stream = args.stream();
  const auto listener = commData(args).listeners.find(args.number("listener"));
  args.check(listener != nullptr, "the listener is closed");
  GroupMember self = memberArgument(args);
  std::vector<Address> addresses = addressesArgument(args);
  const auto connectTimeout = durationArgument(args, "connectTimeoutMs");
  const auto timeout = durationArgument(args, "timeoutMs");
  self.size = static_cast<int>(addresses.size());
  args.check(self.rank >= 0 && self.rank < self.size, [&] {
    return "rank " + std::to_string(self.rank) + " with " + std::to_string(self.size) + " addresses";
  });
  auto transport = std::make_unique<TcpTransport>(self.axis, self.rank, self.size);
  TcpTransport& tcp = *transport;
  auto communicator =
      Communicator::create(std::make_unique<TransportCollectives>(std::move(transport), timeout), stream);
  args.enqueue([communicator, &tcp, listener, addresses, self, connectTimeout] {
    tcp.connect(*listener, addresses, self, Clock::now() + connectTimeout);
  });
  return addCommunicator(args, std::move(communicator), stream);
}

Napi::Value bindInProcessGroup(Args& args) {
  const std::string axis = args.text("axis");
  const Napi::Value streamIds = args.value("streams");
  const auto timeout = durationArgument(args, "timeoutMs");
  args.check(streamIds.IsArray() && streamIds.As<Napi::Array>().Length() > 0,
             "streams is not a list of streams");
  const auto ids = streamIds.As<Napi::Array>();
  auto hub = std::make_shared<InProcessHub>(static_cast<int>(ids.Length()));
  auto result = Napi::Array::New(args.env(), ids.Length());
  for (uint32_t rank = 0; rank < ids.Length(); rank++) {
    const double id = Napi::Value(ids[rank]).ToNumber();
    const auto stream = args.data().streams.find(static_cast<uint64_t>(id));
    args.check(stream != args.data().streams.end(), "a stream is not open");
    args.check(stream->second->timeline() == nullptr, "ranks of one process are for the CPU");
    auto transport = std::make_unique<InProcessTransport>(axis, static_cast<int>(rank), hub);
    auto collectives = std::make_unique<TransportCollectives>(std::move(transport), timeout);
    result[rank] =
        addCommunicator(args, Communicator::create(std::move(collectives), *stream->second), *stream->second);
  }
  return result;
}

Napi::Value bindNcclOpen(Args& args) {
  const Nccl& nccl = openNccl();
  auto result = Napi::Object::New(args.env());
  result.Set("version", ncclVersionName(nccl.version));
  result.Set("path", nccl.path);
  return result;
}

Napi::Value bindNcclGroupId(Args& args) {
  return Napi::String::New(args.env(), NcclGroupId::create(openNccl()).toString());
}

Napi::Value bindConnectNccl(Args& args) {
  Stream& stream = args.stream();
  const std::string axis = args.text("axis");
  const NcclGroupId group = NcclGroupId::parse(args.text("id"));
  const auto rank = static_cast<int>(args.integer("rank"));
  const auto size = static_cast<int>(args.integer("size"));
  const auto connectTimeout = durationArgument(args, "connectTimeoutMs");
  const auto timeout = durationArgument(args, "timeoutMs");
  const auto mode = static_cast<PeerMode>(args.integer("peerMode"));
  args.check(stream.timeline() != nullptr, "NCCL is for GPUs");
  args.check(mode >= PeerMode::unused && mode <= PeerMode::required, "peerMode is none");
  args.check(rank >= 0 && rank < size,
             [&] { return "rank " + std::to_string(rank) + " of " + std::to_string(size); });
  PeerKernels kernels;
  if (mode != PeerMode::unused && size > 1) {
    kernels = {LONGSCAN_CUDA_FUNCTION(args, longscanPeerChain),
               LONGSCAN_CUDA_FUNCTION(args, longscanPeerChainLoad), &stream.context().cuda()->kernels()};
  }
  const Nccl& nccl = openNccl();
  if (group.version != nccl.version) {
    throw Error("E-NCCL", axis + " rank " + std::to_string(rank) + ": " + nccl.path + " is NCCL " +
                              ncclVersionName(nccl.version) + ", the group's is " +
                              ncclVersionName(group.version) +
                              ". Fix: install the same NCCL on every host, or name it in LONGSCAN_NCCL");
  }
  auto collectives = std::make_unique<NcclCollectives>(nccl, axis, rank, size, stream, timeout);
  NcclCollectives& own = *collectives;
  auto communicator = Communicator::create(std::move(collectives), stream);
  args.enqueueAnywhere([communicator, &own, id = group.id, connectTimeout, mode, kernels] {
    own.connect(id, connectTimeout);
    if (kernels.run != nullptr) own.shareMemory(mode, kernels, connectTimeout);
  });
  return addCommunicator(args, std::move(communicator), stream);
}

}  // namespace

void registerGroups(Registry& registry) {
  registry.add("commListenerOpen", 1, bindListenerOpen);
  registry.add("commListenerClose", 1, bindListenerClose);
  registry.add("commConnectTcp", 11, bindConnectTcp);
  registry.add("commInProcessGroup", 3, bindInProcessGroup);
  registry.add("commNcclOpen", 0, bindNcclOpen);
  registry.add("commNcclGroupId", 0, bindNcclGroupId);
  registry.add("commConnectNccl", 8, bindConnectNccl);
}

}  // namespace longscan
