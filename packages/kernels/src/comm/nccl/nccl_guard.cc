#include "nccl_guard.h"

#include "../../core/context.h"

namespace longscan {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// How often the thread looks while something is on the GPU.
constexpr milliseconds lookInterval{2};

/// Between two questions for the outcome of a call, which as a rule takes tens of microseconds.
void pause(int numQuestions) {
  if (numQuestions < 200) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(microseconds(numQuestions < 2000 ? 20 : 1000));
  }
}

}  // namespace

NcclGuard::NcclGuard(const Nccl& nccl, std::string label, int rank, int size, Stream& stream,
                     milliseconds timeout)
    : nccl_(nccl),
      label_(std::move(label)),
      rank_(rank),
      size_(size),
      stream_(stream),
      timeline_(*stream.timeline()),
      driver_(timeline_.device().driver()),
      timeout_(timeout) {}

std::shared_ptr<NcclGuard> NcclGuard::start(const Nccl& nccl, std::string label, int rank, int size,
                                            Stream& stream, milliseconds timeout) {
  std::shared_ptr<NcclGuard> guard(new NcclGuard(nccl, std::move(label), rank, size, stream, timeout));
  guard->thread_ = std::thread([guard] { guard->watch(); });
  return guard;
}

NcclGuard::~NcclGuard() {
  // The thread has an owner's share: it is at its end, and may be the one that runs this.
  if (thread_.joinable()) thread_.detach();
}

void NcclGuard::connect(const Nccl::UniqueId& id, milliseconds timeout) {
  const NcclWork work{"the setting up of the group", {}};
  {
    std::lock_guard<std::mutex> lock(mutex_);
    failure_.throwIfSet();
    driver_.check(driver_.memAlloc(&byte_, 1), "cuMemAlloc");
    Nccl::Config config;
    const int status = nccl_.commInitRankConfig(&comm_, size_, id, rank_, &config);
    if (status != ncclSuccess && status != ncclInProgress) failWith(errorOf(status, work));
  }
  awaitOutcome(work, Clock::now() + timeout,
               CommError("E-COMM-CONNECT", label_ + ": not all ranks have joined the group within " +
                                               std::to_string(timeout.count()) + " ms"));
}

void NcclGuard::launch(NcclWork work, const Calls& calls) {
  work.name += " (collective " + std::to_string(++numLaunches_) + ")";
  CUevent_st* begin = timeline_.recordPoint();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    failure_.throwIfSet();
    int status = nccl_.groupStart();
    if (status == ncclSuccess) {
      const int failed = calls(comm_, timeline_.stream());
      status = nccl_.groupEnd();
      if (failed != ncclSuccess) status = failed;
    }
    if (status != ncclSuccess && status != ncclInProgress) failWith(errorOf(status, work));
  }
  // Before the outcome is known the work may not be on the stream yet, and a point would not be behind it.
  awaitOutcome(work, Clock::now() + timeout_, deadlineError(work));
  watchLaunch(std::move(work), begin);
}

void NcclGuard::watchOver(OwnWork own) {
  std::lock_guard<std::mutex> lock(mutex_);
  own_ = std::move(own);
}

void NcclGuard::launchOwn(NcclWork work, const std::function<void(CUstream_st*)>& launch) {
  work.name += " (collective " + std::to_string(++numLaunches_) + ")";
  failure_.throwIfSet();
  CUevent_st* begin = timeline_.recordPoint();
  launch(timeline_.stream());
  watchLaunch(std::move(work), begin);
}

void NcclGuard::watchLaunch(NcclWork work, CUevent_st* begin) {
  CUevent_st* end = timeline_.recordPoint();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    // The thread may just have found nothing unfinished to abort; then nobody else tells the stream.
    failure_.throwIfSet();
    launched_.push_back({std::move(work), begin, end, std::nullopt});
  }
  {
    std::lock_guard<std::mutex> lock(signalMutex_);
    hasWork_ = true;
  }
  signal_.notify_all();
}

void NcclGuard::awaitOutcome(const NcclWork& work, Deadline deadline, const CommError& late) {
  for (int i = 0;; i++) {
    int status = ncclSuccess;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      failure_.throwIfSet();
      if (const int asked = nccl_.commGetAsyncError(comm_, &status); asked != ncclSuccess) status = asked;
    }
    if (status == ncclSuccess) return;
    if (status != ncclInProgress) failWith(errorOf(status, work));
    if (Clock::now() > deadline) failWith(late);
    pause(i);
  }
}

void NcclGuard::failWith(const CommError& error) {
  failure_.set(error);
  wake();
  failure_.throwIfSet();
  throw error;
}

std::string NcclGuard::namePeer(const NcclWork& work) const {
  if (work.peers.size() == 1) return "rank " + std::to_string(work.peers[0]);
  if (size_ == 2) return "rank " + std::to_string(1 - rank_);
  if (work.peers.empty()) return "another rank";
  std::string names = "one of the ranks";
  for (const int peer : work.peers) names += " " + std::to_string(peer);
  return names;
}

CommError NcclGuard::errorOf(int status, const NcclWork& work) const {
  if (status == ncclRemoteError) {
    return CommError("E-COMM-PEER", label_ + ": " + namePeer(work) + " is gone (" + nccl_.describe(status) +
                                        ") in " + work.name +
                                        "; it died, or gave up after an error of its own");
  }
  return CommError("E-NCCL", label_ + ": NCCL failed in " + work.name + ": " + nccl_.describe(status) +
                                 ". Fix: NCCL_DEBUG=WARN prints what it found");
}

CommError NcclGuard::deadlineError(const NcclWork& work) const {
  return CommError("E-COMM-DEADLINE", label_ + ": the deadline passed in " + work.name);
}

void NcclGuard::wake() {
  // Taken so that the thread cannot miss it between looking and waiting.
  { std::lock_guard<std::mutex> lock(signalMutex_); }
  signal_.notify_all();
}

void NcclGuard::abort(const std::string& reason) {
  if (failure_.set(CommError("E-COMM-ABORT", label_ + " was aborted: " + reason))) wake();
}

void NcclGuard::close() {
  {
    std::lock_guard<std::mutex> lock(signalMutex_);
    closing_ = true;
  }
  signal_.notify_all();
  finish();
}

void NcclGuard::expectClose() {
  std::lock_guard<std::mutex> lock(signalMutex_);
  closeIsExpected_ = true;
}

void NcclGuard::detach() {
  bool isClosing;
  {
    // Peers may still be waiting for what was sent last, which an abort would take back.
    std::unique_lock<std::mutex> lock(signalMutex_);
    if (closeIsExpected_) signal_.wait_for(lock, closePatience, [&] { return closing_; });
    isClosing = closing_;
  }
  if (!isClosing) abort("its device was closed");
  finish();
}

void NcclGuard::finish() {
  std::lock_guard<std::mutex> finishing(finishMutex_);
  if (!thread_.joinable() || thread_.get_id() == std::this_thread::get_id()) return;
  bool hasEnded;
  {
    std::unique_lock<std::mutex> lock(signalMutex_);
    signal_.wait(lock, [&] { return phase_ != Phase::watching; });
    // What is left now is NCCL's, which waits for peers: it may be left behind.
    hasEnded = signal_.wait_for(lock, closePatience, [&] { return phase_ == Phase::ended; });
  }
  if (hasEnded) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

void NcclGuard::enter(Phase phase) {
  {
    std::lock_guard<std::mutex> lock(signalMutex_);
    phase_ = phase;
  }
  signal_.notify_all();
}

void NcclGuard::watch() {
  try {
    timeline_.device().use();
  } catch (const Error& error) {
    failure_.set(CommError(error.code(), label_ + ": " + error.what()));
  }
  for (;;) {
    {
      std::unique_lock<std::mutex> lock(signalMutex_);
      const auto isOver = [&] { return closing_ || failure_.isSet(); };
      if (hasWork_) {
        signal_.wait_for(lock, lookInterval, isOver);
      } else {
        signal_.wait(lock, [&] { return hasWork_ || isOver(); });
      }
      if (isOver()) break;
    }
    look();
  }
  bool isUnfinished;
  OwnWork own;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    isUnfinished = !launched_.empty();
    own = own_;
  }
  // Whoever is in a call finds the failure there; nobody else would hear of what the GPU has not finished.
  // Told first, so that other communicators end beside this one: freeing memory waits for all kernels of the
  // GPU.
  if (failure_.isSet() && isUnfinished) {
    try {
      failure_.throwIfSet();
    } catch (const CommError& error) {
      stream_.context().fail({error.code(), error.what()});
    }
  }
  // Only now may our kernels end, or work behind them would be taken for done.
  if (failure_.isSet() && own.stop) {
    own.stop();
    own.leave();
  }
  enter(Phase::ending);
  end();
  enter(Phase::ended);
}

void NcclGuard::look() {
  std::lock_guard<std::mutex> lock(mutex_);
  try {
    while (!launched_.empty()) {
      Launched& oldest = launched_.front();
      if (!oldest.begun && timeline_.reached(oldest.begin)) oldest.begun = Clock::now();
      if (!oldest.begun || !timeline_.reached(oldest.end)) break;
      timeline_.returnPoint(oldest.begin);
      timeline_.returnPoint(oldest.end);
      launched_.pop_front();
    }
  } catch (const Error& error) {
    failure_.set(CommError(error.code(), label_ + ": " + error.what()));
    return;
  }
  if (launched_.empty()) {
    std::lock_guard<std::mutex> signalLock(signalMutex_);
    hasWork_ = false;
    return;
  }
  const Launched& oldest = launched_.front();
  if (const int lost = own_.lostPeer ? own_.lostPeer() : -1; lost >= 0) {
    failure_.set(CommError("E-COMM-PEER", label_ + ": rank " + std::to_string(lost) + " is gone in " +
                                              oldest.work.name + "; it gave up after an error of its own"));
    return;
  }
  int status = ncclSuccess;
  if (const int asked = nccl_.commGetAsyncError(comm_, &status); asked != ncclSuccess) status = asked;
  if (status != ncclSuccess && status != ncclInProgress) {
    failure_.set(errorOf(status, oldest.work));
  } else if (oldest.begun && Clock::now() - *oldest.begun > timeout_) {
    failure_.set(deadlineError(oldest.work));
  }
}

void NcclGuard::end() {
  ncclComm* comm;
  const bool failed = failure_.isSet();
  {
    // Nobody calls NCCL after this: whoever comes finds a failure.
    std::lock_guard<std::mutex> lock(mutex_);
    failure_.set(CommError("E-COMM-CLOSED", label_ + " is closed"));
    comm = comm_;
  }
  if (comm != nullptr) {
    if (!failed && finalize(comm)) {
      nccl_.commDestroy(comm);
    } else {
      nccl_.commAbort(comm);
    }
  }
  if (byte_ != 0) driver_.memFree(byte_);
}

bool NcclGuard::finalize(ncclComm* comm) const {
  const Deadline deadline = Clock::now() + closePatience / 2;
  int status = nccl_.commFinalize(comm);
  for (int i = 0; status == ncclInProgress && Clock::now() < deadline; i++) {
    pause(i);
    if (const int asked = nccl_.commGetAsyncError(comm, &status); asked != ncclSuccess) return false;
  }
  return status == ncclSuccess;
}

}  // namespace longscan
