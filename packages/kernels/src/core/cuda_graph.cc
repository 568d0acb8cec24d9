#include "cuda_graph.h"

#include "context.h"
#include "cuda_timeline.h"
#include "error.h"

namespace longscan {

CudaGraph::CudaGraph(Stream& stream) : stream_(stream), driver_(stream.timeline()->device().driver()) {}

CudaGraph::~CudaGraph() {
  stream_.timeline()->device().use();  // on the JavaScript thread, where a device is closed
  // The driver waits for launches under way.
  for (CUgraphExec_st* piece : pieces_) driver_.graphExecDestroy(piece);
}

void CudaGraph::begin() {
  stream_.context().beginRecording(*this);
  numPointsBefore_ = stream_.context().numPoints();
  sections_.emplace_back();
  stream_.enqueueNote("graphBegin", [timeline = stream_.timeline()] { timeline->beginCapture(); });
}

void CudaGraph::split() {
  endPiece();
  sections_.emplace_back();
}

void CudaGraph::end() {
  addPiece();
  stream_.enqueueNote("graphEnd", [graph = shared_from_this()] { graph->keepPiece(); });
  // A launch writes over what other streams still read of the one before, and they over what this stream
  // reads.
  std::vector<Step> first;
  for (Stream* other : others_) {
    first.push_back([this, other] { other->enqueueWait(stream_, stream_.record()); });
    sections_.back().push_back([this, other] { stream_.enqueueWait(*other, other->record()); });
  }
  sections_.front().insert(sections_.front().begin(), first.begin(), first.end());
  memory_ = stream_.context().endRecording();
}

void CudaGraph::launch(size_t section) {
  Allocator& allocator = stream_.context().allocator();
  if (!allocator.isLent(*memory_)) {
    throw Error("E-CUDA-GRAPH",
                "a launch of a graph that works on a tensor which was released. Fix: keep the tensor as long "
                "as the graph is launched");
  }
  for (const Step& step : sections_[section]) step();
  nextSection_ = (section + 1) % sections_.size();
  memory_->isUnderWay = nextSection_ != 0;
  allocator.noteRun(*memory_);
}

uint64_t CudaGraph::addPoint() const {
  return firstPoint + stream_.context().addPoint();
}

bool CudaGraph::hasPoint(uint64_t ticket) const {
  return ticket > firstPoint + numPointsBefore_ && ticket <= firstPoint + stream_.context().numPoints();
}

uint64_t CudaGraph::enqueue(Stream& stream, const char* op, std::function<void()> task,
                            const ShapeList& shapes) {
  if (&stream == &stream_) {
    pieceHasWork_ = true;
    stream.enqueueAtOnce(op, std::move(task), shapes);
  } else {
    others_.insert(&stream);
    add([&stream, op, task = std::move(task), shapes] { stream.enqueueAtOnce(op, task, shapes); });
  }
  return addPoint();
}

uint64_t CudaGraph::record(Stream& stream) {
  if (&stream == &stream_) endPiece();
  const uint64_t point = addPoint();
  add([this, &stream, point] { tickets_[point] = stream.record(); });
  return point;
}

void CudaGraph::wait(Stream& stream, Stream& other, uint64_t ticket) {
  // Another device may be closed before the next launch, and counts points of its own.
  const bool isElsewhere = &other.context() != &stream_.context();
  if (isElsewhere || (isPoint(ticket) && !hasPoint(ticket))) {
    throw Error("E-CUDA-GRAPH", std::string("an event of another ") + (isElsewhere ? "device" : "graph") +
                                    " while a graph is recorded. Fix: wait for what was recorded with it, or "
                                    "at each launch (stream.between)");
  }
  if (&stream == &stream_)
    endPiece();
  else
    others_.insert(&stream);
  if (!isPoint(ticket)) {
    add([&stream, &other, ticket] { stream.enqueueWait(other, ticket); });
    return;
  }
  stream.context().allocator().recording().order(stream, other, ticket);
  add([this, &stream, &other, point = ticket] { stream.enqueueWait(other, tickets_.at(point)); });
}

void CudaGraph::add(Step step) {
  sections_.back().push_back(std::move(step));
}

void CudaGraph::addPiece() {
  if (!pieceHasWork_) return;
  add([this, piece = numPieces_] {
    stream_.enqueueAtOnce("graphLaunch", [graph = shared_from_this(), piece] {
      graph->stream_.timeline()->launchGraph(graph->pieces_[piece]);
    });
  });
  numPieces_++;
  pieceHasWork_ = false;
}

void CudaGraph::endPiece() {
  if (!pieceHasWork_) return;
  addPiece();
  stream_.enqueueNote("graphSplit", [graph = shared_from_this()] {
    graph->keepPiece();
    graph->stream_.timeline()->beginCapture();
  });
}

void CudaGraph::keepPiece() {
  pieces_.push_back(stream_.timeline()->endCapture());
}

}  // namespace longscan
