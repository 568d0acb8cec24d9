#include "../core/cpu.h"
#include "args.h"

// Devices, streams and tensors: what every op stands on.
namespace longscan {

namespace {

Context& contextOf(Args& args) {
  const auto context = args.data().contexts.find(args.number("context"));
  args.check(context != nullptr, "the device is closed");
  return *context;
}

TensorRef shaped(Args& args, DType dtype, const Napi::Value& shapeValue) {
  args.check(shapeValue.IsArray(), "shape is not an array");
  const auto shape = shapeValue.As<Napi::Array>();
  args.check(shape.Length() <= maxDims, "more than 6 dimensions");
  TensorRef tensor;
  tensor.dtype = dtype;
  tensor.numDims = static_cast<int>(shape.Length());
  double count = 1;
  for (uint32_t i = 0; i < shape.Length(); i++) {
    const Napi::Value dim = shape[i];
    args.check(dim.IsNumber() && dim.As<Napi::Number>().Int64Value() >= 0, "a dimension is not a size");
    tensor.shape[i] = dim.As<Napi::Number>().Int64Value();
    count *= static_cast<double>(tensor.shape[i]);
  }
  args.check(count < 1e15, [&] { return "a tensor of " + std::to_string(count) + " elements"; });
  tensor.numElements = static_cast<int64_t>(count);
  return tensor;
}

DType dtypeArgument(Args& args) {
  const int64_t code = args.integer("dtype");
  args.check(code >= 0 && code <= 3, [&] { return "unknown dtype code " + std::to_string(code); });
  return static_cast<DType>(code);
}

Napi::Value number(Args& args, double value) {
  return Napi::Number::New(args.env(), value);
}

MemoryChecks memoryChecks(Args& args) {
  const bool poison = args.flag("poison");
  return {poison, args.flag("exactMemory")};
}

Napi::Value contextCreate(Args& args) {
  const auto numThreads = static_cast<int>(args.integer("numThreads"));
  const bool fixedPartition = args.flag("fixedPartition");
  const MemoryChecks checks = memoryChecks(args);
  args.check(numThreads >= 1 && numThreads <= 1024, "numThreads is not between 1 and 1024");
  return number(args, args.data().contexts.add(
                          std::make_shared<Context>(numThreads, fixedPartition ? fixedParts : 0, checks)));
}

Napi::Value cudaContextCreate(Args& args) {
  const int64_t index = args.integer("index");
  const MemoryChecks checks = memoryChecks(args);
  const bool waitsAfterEachOp = args.flag("waitsAfterEachOp");
  args.check(index >= 0 && index < 1024, "index is not between 0 and 1023");
  auto device = std::make_unique<CudaDevice>(static_cast<int>(index));
  return number(
      args, args.data().contexts.add(std::make_shared<Context>(std::move(device), checks, waitsAfterEachOp)));
}

Napi::Value cudaNumGpus(Args& args) {
  return number(args, CudaDevice::count());
}

CudaDevice& gpuOf(Args& args) {
  CudaDevice* device = contextOf(args).cuda();
  args.check(device != nullptr, "the device is not a GPU");
  return *device;
}

/// Shared memory that a block may have at most.
int sharedBytesOfBlock(const CudaDevice& device) {
  constexpr int attribute = 97;  // of CUdevice_attribute: for kernels that ask for more than is usual
  const CudaDriver& driver = device.driver();
  int number = 0, bytes = 0;
  driver.check(driver.deviceGet(&number, device.index()), "cuDeviceGet");
  driver.check(driver.deviceGetAttribute(&bytes, attribute, number), "cuDeviceGetAttribute");
  return bytes;
}

Napi::Value cudaOpenKernels(Args& args) {
  return Napi::String::New(args.env(), gpuOf(args).kernels().path());
}

Napi::Value cudaInfo(Args& args) {
  const CudaDevice& device = gpuOf(args);
  auto result = Napi::Object::New(args.env());
  result.Set("name", device.name());
  result.Set("capability", device.capability());
  result.Set("numMultiprocessors", device.numMultiprocessors());
  result.Set("sharedBytesOfBlock", sharedBytesOfBlock(device));
  result.Set("totalBytes", static_cast<double>(device.totalBytes()));
  result.Set("freeBytes", static_cast<double>(device.freeBytes()));
  result.Set("driverVersion", device.driver().version);
  return result;
}

Napi::Value contextClose(Args& args) {
  const double id = args.number("context");
  const auto context = args.data().contexts.find(id);
  args.check(context != nullptr, "the device is closed already");
  context->refuseInRecording(std::string(args.function()) + ": closing the device");
  context->close();
  args.data().graphs.removeIf(
      [&](const CudaGraph& graph) { return &graph.stream().context() == context.get(); });
  auto& streams = args.data().streams;
  for (auto it = streams.begin(); it != streams.end();) {
    it = &it->second->context() == context.get() ? streams.erase(it) : std::next(it);
  }
  args.data().tensors.forget(context->allocator());
  args.data().contexts.remove(id);
  return args.env().Undefined();
}

Napi::Value contextStats(Args& args) {
  Context& context = contextOf(args);
  const bool resetPeak = args.flag("resetPeak");
  const AllocatorStats stats = context.allocator().stats();
  if (resetPeak) context.allocator().resetPeak();
  auto result = Napi::Object::New(args.env());
  result.Set("inUseBytes", static_cast<double>(stats.inUseBytes));
  result.Set("peakBytes", static_cast<double>(stats.peakBytes));
  result.Set("reservedBytes", static_cast<double>(stats.reservedBytes));
  result.Set("numTensors", static_cast<double>(args.data().tensors.numAlive()));
  return result;
}

Napi::Value streamCreate(Args& args) {
  Context& context = contextOf(args);
  const std::string name = args.text("name");
  Stream& stream = context.createStream(name, args.flag("urgent"));
  const uint64_t id = args.data().nextStream++;
  args.data().streams[id] = &stream;
  return number(args, static_cast<double>(id));
}

Napi::Value streamRecord(Args& args) {
  return number(args, static_cast<double>(args.stream().record()));
}

Napi::Value streamWait(Args& args) {
  Stream& stream = args.stream();
  Stream& other = args.stream("other");
  const auto ticket = static_cast<uint64_t>(args.integer("ticket"));
  args.check(CudaGraph::isPoint(ticket) || ticket <= other.last(), "an event that was never recorded");
  if (!other.done(ticket) || other.failure()) stream.enqueueWait(other, ticket);
  return args.env().Undefined();
}

Napi::Value streamSync(Args& args) {
  Stream& stream = args.stream();
  args.refuseInRecording("a wait of the host");
  return args.data().settle(args.env(), stream, nullptr, args.env().Undefined());
}

Napi::Value streamProgress(Args& args) {
  Stream& stream = args.stream();
  const uint64_t ticket = stream.last();
  return Napi::Boolean::New(args.env(), stream.done(ticket));
}

Napi::Value tensorCreate(Args& args) {
  Stream& home = args.stream();
  const DType dtype = dtypeArgument(args);
  TensorRef tensor = shaped(args, dtype, args.value("shape"));
  Allocator& allocator = home.context().allocator();
  tensor.block = allocator.allocate(tensor.bytes(), home);
  tensor.data = tensor.block->data;
  return number(args, args.data().tensors.add(tensor, allocator));
}

Napi::Value tensorView(Args& args) {
  const Stream& home = args.stream();
  const TensorRef base = args.tensor("base");
  const int64_t offset = args.integer("offset");
  TensorRef view = shaped(args, base.dtype, args.value("shape"));
  args.check(offset >= 0 && offset + view.numElements <= base.numElements,
             "the view reaches past its tensor");
  view.block = base.block;
  view.data = static_cast<char*>(base.data) + static_cast<size_t>(offset) * dtypeBytes(base.dtype);
  return number(args, args.data().tensors.add(view, const_cast<Stream&>(home).context().allocator()));
}

Napi::Value tensorRelease(Args& args) {
  args.data().tensors.release(args.number("tensor"));
  return args.env().Undefined();
}

Napi::Value gateClose(Args& args) {
  Stream& stream = args.stream();
  args.refuseInRecording("a gate");
  auto gate = std::make_shared<Gate>();
  const int hook = stream.context().addAbortHook([gate](const StreamFailure&) { gate->open(); });
  Context& context = stream.context();
  args.enqueueAnywhere([gate, hook, &context] {
    gate->pass();
    context.removeAbortHook(hook);
  });
  const auto closed = std::make_shared<ClosedGate>(ClosedGate{gate, context.allocator().hold()});
  return number(args, args.data().gates.add(closed));
}

Napi::Value gateOpen(Args& args) {
  const double id = args.number("gate");
  const auto closed = args.data().gates.find(id);
  args.check(closed != nullptr, "the gate was opened already");
  closed->gate->open();
  args.data().gates.remove(id);
  return args.env().Undefined();
}

Napi::Value cpuInfo(Args& args) {
  auto result = Napi::Object::New(args.env());
  result.Set("level", static_cast<double>(static_cast<int>(cpuLevel())));
  result.Set("name", cpuLevelName(cpuLevel()));
  return result;
}

Napi::Value cpuLimit(Args& args) {
  const int64_t level = args.integer("level");
  args.check(level >= 0 && level <= 2, "level is not 0, 1 or 2");
  return number(args, static_cast<double>(static_cast<int>(limitCpuLevel(static_cast<CpuLevel>(level)))));
}

}  // namespace

void registerRuntime(Registry& registry) {
  registry.add("contextCreate", 4, contextCreate);
  registry.add("cudaNumGpus", 0, cudaNumGpus);
  registry.add("cudaContextCreate", 4, cudaContextCreate);
  registry.add("cudaOpenKernels", 1, cudaOpenKernels);
  registry.add("cudaInfo", 1, cudaInfo);
  registry.add("contextClose", 1, contextClose);
  registry.add("contextStats", 2, contextStats);
  registry.add("streamCreate", 3, streamCreate);
  registry.add("streamRecord", 1, streamRecord);
  registry.add("streamWait", 3, streamWait);
  registry.add("streamSync", 1, streamSync);
  registry.add("streamProgress", 1, streamProgress);
  registry.add("tensorCreate", 3, tensorCreate);
  registry.add("tensorView", 4, tensorView);
  registry.add("tensorRelease", 1, tensorRelease);
  registry.add("gateClose", 1, gateClose);
  registry.add("gateOpen", 1, gateOpen);
  registry.add("cpuInfo", 0, cpuInfo);
  registry.add("cpuLimit", 1, cpuLimit);
}

}  // namespace longscan
