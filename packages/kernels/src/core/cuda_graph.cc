#include "cuda_graph.h"

#include "cuda_timeline.h"

namespace longscan {

CudaGraph::CudaGraph(Stream& stream) : stream_(stream), driver_(stream.timeline()->device().driver()) {}

CudaGraph::~CudaGraph() {
  stream_.timeline()->device().use();  // on the JavaScript thread, where a device is closed
  // The driver waits for launches under way.
  for (CUgraphExec_st* piece : pieces_) driver_.graphExecDestroy(piece);
}

void CudaGraph::begin() {
  stream_.timeline()->beginCapture();
}

void CudaGraph::end() {
  pieces_.push_back(stream_.timeline()->endCapture());
}

void CudaGraph::launch(size_t piece) {
  stream_.timeline()->launchGraph(pieces_[piece]);
}

}  // namespace longscan
