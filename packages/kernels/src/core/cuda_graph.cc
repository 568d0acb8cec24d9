#include "cuda_graph.h"

#include "context.h"
#include "cuda_timeline.h"

namespace longscan {

CudaGraph::CudaGraph(Stream& stream) : stream_(stream), driver_(stream.timeline()->device().driver()) {}

CudaGraph::~CudaGraph() {
  stream_.timeline()->device().use();  // on the JavaScript thread, where a device is closed
  // The driver waits for launches under way.
  for (CUgraphExec_st* piece : pieces_) driver_.graphExecDestroy(piece);
}

void CudaGraph::begin() {
  stream_.context().beginRecording(*this);
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
  for (const Step& step : sections_.at(section)) step();
  stream_.context().allocator().noteRun(*memory_);
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
  return ++point_;
}

uint64_t CudaGraph::record(Stream& stream) {
  if (&stream == &stream_) endPiece();
  const uint64_t point = ++point_;
  add([this, &stream, point] { tickets_[point] = stream.record(); });
  return point;
}

void CudaGraph::wait(Stream& stream, Stream& other, uint64_t ticket) {
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
