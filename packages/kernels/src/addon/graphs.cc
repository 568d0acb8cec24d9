#include "args.h"

// Work that is recorded once and launched as a whole.
namespace longscan {

namespace {

std::shared_ptr<CudaGraph> graphArgument(Args& args, double* id = nullptr) {
  Stream& stream = args.stream();
  const double number = args.number("graph");
  if (id != nullptr) *id = number;
  const auto graph = args.data().graphs.find(number);
  args.check(graph != nullptr && &graph->stream() == &stream, "no graph of this stream, or released already");
  return graph;
}

std::shared_ptr<CudaGraph> unfinishedGraph(Args& args) {
  const auto graph = graphArgument(args);
  args.check(graph->stream().context().recording() == graph.get(), "the graph is not being recorded");
  return graph;
}

std::shared_ptr<CudaGraph> finishedGraph(Args& args, double* id = nullptr) {
  const auto graph = graphArgument(args, id);
  args.check(graph->memory() != nullptr, "the graph is still being recorded");
  return graph;
}

Napi::Value graphBegin(Args& args) {
  Stream& stream = args.stream();
  args.check(args.onGpu(), "only GPUs have graphs");
  args.check(stream.context().recording() == nullptr, "a graph of this device is being recorded");
  const auto graph = std::make_shared<CudaGraph>(stream);
  graph->begin();
  return Napi::Number::New(args.env(), args.data().graphs.add(graph));
}

Napi::Value graphSplit(Args& args) {
  unfinishedGraph(args)->split();
  return args.env().Undefined();
}

Napi::Value graphEnd(Args& args) {
  unfinishedGraph(args)->end();
  return args.env().Undefined();
}

Napi::Value graphIsWhole(Args& args) {
  return Napi::Boolean::New(args.env(), !finishedGraph(args)->memory()->isGivenBack);
}

Napi::Value graphLaunch(Args& args) {
  const auto graph = finishedGraph(args);
  const int64_t section = args.integer("section");
  args.refuseInRecording("a launch of a graph");
  args.check(section == 0 || section == static_cast<int64_t>(graph->nextSection()),
             [&] { return "the next section is " + std::to_string(graph->nextSection()); });
  args.check(!graph->memory()->isGivenBack, "the graph's memory went to others");
  graph->launch(static_cast<size_t>(section));
  return args.env().Undefined();
}

Napi::Value graphRelease(Args& args) {
  double id = 0;
  const auto graph = finishedGraph(args, &id);
  args.refuseInRecording("the release of a graph");
  // Reused in the order of this stream, so after the launches under way.
  graph->stream().context().allocator().giveBack(*graph->memory());
  args.enqueueAnywhere([graph] {});  // lives until those are launched
  args.data().graphs.remove(id);
  return args.env().Undefined();
}

}  // namespace

void registerGraphs(Registry& registry) {
  registry.add("graphBegin", 1, graphBegin);
  registry.add("graphSplit", 2, graphSplit);
  registry.add("graphEnd", 2, graphEnd);
  registry.add("graphIsWhole", 2, graphIsWhole);
  registry.add("graphLaunch", 3, graphLaunch);
  registry.add("graphRelease", 2, graphRelease);
}

}  // namespace longscan
