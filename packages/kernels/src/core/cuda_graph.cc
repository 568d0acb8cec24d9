#include "cuda_graph.h"

#include "cuda_timeline.h"

namespace longscan {

CudaGraph::CudaGraph(Stream& stream) : stream_(stream), driver_(stream.timeline()->device().driver()) {}

CudaGraph::~CudaGraph() {
  // The driver waits for launches under way.
  if (executable_ != nullptr) driver_.graphExecDestroy(executable_);
}

void CudaGraph::begin() {
  stream_.timeline()->beginCapture();
}

void CudaGraph::end() {
  executable_ = stream_.timeline()->endCapture();
}

void CudaGraph::launch() {
  stream_.timeline()->launchGraph(executable_);
}

}  // namespace longscan
