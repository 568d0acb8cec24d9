#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "../../cuda/testing/fake_settings.h"
#include "../../cuda/testing/fake_stream.h"

// NCCL without a GPU, for tests of what stands on it: ranks are communicators of this process, work runs on
// streams of the fake driver (cuda/testing/fake_driver.cc) and holds them up until its peers have come to
// theirs or the communicator is aborted, as NCCL's kernels do. Every call's outcome is known only when it has
// been asked for a few times. LONGSCAN_FAKE_NCCL, read at each call, says what it pretends to be:
// "version=22803 fail=ncclAllReduce" (this call fails; with `late` in front: when its outcome is asked for),
// "mute=1" (nobody is told that a peer has gone, as between GPUs of one host).

namespace {

constexpr int success = 0, unhandledCudaError = 1, invalidArgument = 4, remoteError = 6, inProgress = 7;
constexpr int typeFloat32 = 7, typeFloat64 = 8;

std::string ncclSetting(const char* name, const char* otherwise) {
  return settingIn("LONGSCAN_FAKE_NCCL", name, otherwise);
}

size_t bytesOf(int type, size_t count) {
  return count * (type == typeFloat32 ? 4 : type == typeFloat64 ? 8 : 1);
}

struct Message {
  char* data;
  size_t bytes;
  bool moved = false;
};
struct Channel {
  std::deque<std::shared_ptr<Message>> sends, receives;
};
/// One collective of a group: done by whoever comes last.
struct Round {
  std::vector<const char*> inputs;
  std::vector<char*> outputs;
  int numArrived = 0;
  bool done = false, broken = false;
};

struct Group {
  explicit Group(int size) : size(size), gone(static_cast<size_t>(size)) {}
  const int size;
  std::mutex mutex;
  std::condition_variable changed;
  int numJoined = 0;
  std::vector<bool> gone;
  std::map<std::pair<int, int>, Channel> channels;  // from, to
  std::map<uint64_t, Round> rounds;

  void match(Channel& channel) {
    while (!channel.sends.empty() && !channel.receives.empty()) {
      const auto send = channel.sends.front(), receive = channel.receives.front();
      std::memcpy(receive->data, send->data, std::min(send->bytes, receive->bytes));
      send->moved = receive->moved = true;
      channel.sends.pop_front();
      channel.receives.pop_front();
    }
    changed.notify_all();
  }
};

std::mutex groupsMutex;
std::map<std::string, std::weak_ptr<Group>> groups;

/// One rank of a group; outlives its handle while its work holds a stream.
struct Member {
  Member(std::shared_ptr<Group> group, int rank) : group(std::move(group)), rank(rank) {}
  const std::shared_ptr<Group> group;
  const int rank;
  bool aborted = false;              // with the group's mutex
  std::atomic<int> status{success};  // what is told when asked
  uint64_t numRounds = 0;            // of the stream's thread
  int numQuestionsLeft = 0;          // before an outcome is known
  std::function<void()> atOutcome;   // what then happens

  /// Holds the stream until `isDone`, or this rank aborts: false. With the group's mutex.
  bool hold(std::unique_lock<std::mutex>& lock, const std::function<bool()>& isDone,
            const std::function<bool()>& isLost) {
    group->changed.wait(lock, [&] {
      if (isDone() || aborted) return true;
      if (isLost() && ncclSetting("mute", "0") == "0") status = remoteError;
      return false;
    });
    return isDone();
  }
};

// The calls of a group of calls.
struct Transfer {
  bool isSend;
  int peer;
  std::shared_ptr<Message> message;
};
struct Collective {
  const void* input;
  void* output;
  /// Makes all outputs from all inputs.
  std::function<void(Round&)> run;
};
struct Calls {
  std::shared_ptr<Member> member;
  CUstream_st* stream = nullptr;
  std::vector<Transfer> transfers;
  std::vector<Collective> collectives;
  bool failsLate = false;
};
thread_local int depth = 0;
thread_local Calls calls;

void runTransfers(Member& member, const std::vector<Transfer>& transfers) {
  Group& group = *member.group;
  std::unique_lock<std::mutex> lock(group.mutex);
  const auto channelOf = [&](const Transfer& transfer) -> Channel& {
    return group.channels[transfer.isSend ? std::make_pair(member.rank, transfer.peer)
                                          : std::make_pair(transfer.peer, member.rank)];
  };
  for (const Transfer& transfer : transfers) {
    Channel& channel = channelOf(transfer);
    (transfer.isSend ? channel.sends : channel.receives).push_back(transfer.message);
    group.match(channel);
  }
  const auto hasMoved = [](const Transfer& transfer) { return transfer.message->moved; };
  const bool done = member.hold(
      lock, [&] { return std::all_of(transfers.begin(), transfers.end(), hasMoved); },
      [&] {
        return std::any_of(transfers.begin(), transfers.end(), [&](const Transfer& transfer) {
          return !hasMoved(transfer) && group.gone[static_cast<size_t>(transfer.peer)];
        });
      });
  if (done) return;
  for (const Transfer& transfer : transfers) {
    auto& queue = transfer.isSend ? channelOf(transfer).sends : channelOf(transfer).receives;
    queue.erase(std::remove(queue.begin(), queue.end(), transfer.message), queue.end());
  }
}

void runCollective(Member& member, const Collective& collective) {
  Group& group = *member.group;
  std::unique_lock<std::mutex> lock(group.mutex);
  if (member.aborted) return;
  Round& round = group.rounds[member.numRounds++];
  round.inputs.resize(static_cast<size_t>(group.size));
  round.outputs.resize(static_cast<size_t>(group.size));
  round.inputs[static_cast<size_t>(member.rank)] = static_cast<const char*>(collective.input);
  round.outputs[static_cast<size_t>(member.rank)] = static_cast<char*>(collective.output);
  if (++round.numArrived == group.size && !round.broken) {
    collective.run(round);
    round.done = true;
    group.changed.notify_all();
  }
  const auto someoneIsGone = [&] {
    return std::any_of(group.gone.begin(), group.gone.end(), [](bool gone) { return gone; });
  };
  if (!member.hold(
          lock, [&] { return round.done; }, someoneIsGone))
    round.broken = true;
}

void submit(const Calls& work) {
  work.stream->add([work] {
    Member& member = *work.member;
    if (work.failsLate) {
      std::unique_lock<std::mutex> lock(member.group->mutex);
      member.status = unhandledCudaError;
      member.hold(
          lock, [] { return false; }, [] { return false; });
      return;
    }
    runTransfers(member, work.transfers);
    for (const Collective& collective : work.collectives) runCollective(member, collective);
  });
}

constexpr int numQuestions = 3;

}  // namespace

struct ncclComm {
  std::shared_ptr<Member> member;
};

namespace {

/// Adds a call to the group of calls under way, or makes it one of its own.
int addCall(const char* name, ncclComm* comm, CUstream_st* stream, const std::function<void()>& add) {
  if (ncclSetting("fail", "") == name) return invalidArgument;
  calls.member = comm->member;
  calls.stream = stream;
  calls.failsLate = calls.failsLate || ncclSetting("fail", "") == std::string("late:") + name;
  add();
  return success;
}

template <typename T>
void sumInto(std::vector<char>& sums, const char* input, size_t bytes) {
  auto* target = reinterpret_cast<T*>(sums.data());
  const auto* source = reinterpret_cast<const T*>(input);
  for (size_t i = 0; i < bytes / sizeof(T); i++) target[i] = static_cast<T>(target[i] + source[i]);
}

/// The sums of a part of all inputs.
std::vector<char> sumOf(const Round& round, size_t offset, size_t bytes, int type) {
  std::vector<char> sums(bytes);
  for (const char* input : round.inputs) {
    if (type == typeFloat32) sumInto<float>(sums, input + offset, bytes);
    if (type == typeFloat64) sumInto<double>(sums, input + offset, bytes);
    if (type != typeFloat32 && type != typeFloat64) sumInto<char>(sums, input + offset, bytes);
  }
  return sums;
}

int addCollective(const char* name, ncclComm* comm, CUstream_st* stream, const void* input, void* output,
                  std::function<void(Round&)> run) {
  return addCall(name, comm, stream, [&] { calls.collectives.push_back({input, output, std::move(run)}); });
}

}  // namespace

extern "C" {

int ncclGetVersion(int* version) {
  *version = std::atoi(ncclSetting("version", "22803").c_str());
  return success;
}
const char* ncclGetErrorString(int status) {
  return status == remoteError          ? "remote process exited or there was a network error"
         : status == unhandledCudaError ? "unhandled cuda error"
                                        : "invalid argument";
}
const char* ncclGetLastError(ncclComm*) {
  return "";
}
int ncclGetUniqueId(char* id) {  // of 128 bytes
  static std::atomic<int> next{1};
  std::memset(id, 0, 128);
  std::snprintf(id, 128, "fake group %d", next++);
  return success;
}

struct FakeUniqueId {
  char internal[128];
};
int ncclCommInitRankConfig(ncclComm** comm, int size, FakeUniqueId id, int rank, const void*) {
  std::shared_ptr<Group> group;
  {
    std::lock_guard<std::mutex> lock(groupsMutex);
    group = groups[id.internal].lock();
    if (group == nullptr) groups[id.internal] = group = std::make_shared<Group>(size);
  }
  *comm = new ncclComm{std::make_shared<Member>(group, rank)};
  std::lock_guard<std::mutex> lock(group->mutex);
  group->numJoined++;
  (*comm)->member->numQuestionsLeft = numQuestions;
  return inProgress;
}
int ncclCommGetAsyncError(ncclComm* comm, int* status) {
  Member& member = *comm->member;
  *status = member.status;
  if (*status != success) return success;
  bool allHere;
  {
    std::lock_guard<std::mutex> lock(member.group->mutex);
    allHere = member.group->numJoined >= member.group->size;
  }
  if (!allHere || member.numQuestionsLeft > 0) {
    if (allHere) member.numQuestionsLeft--;
    *status = inProgress;
  } else if (member.atOutcome) {
    member.atOutcome();
    member.atOutcome = nullptr;
  }
  return success;
}
int ncclCommFinalize(ncclComm* comm) {
  comm->member->numQuestionsLeft = numQuestions;
  return inProgress;
}
int ncclCommAbort(ncclComm* comm) {
  Member& member = *comm->member;
  {
    std::lock_guard<std::mutex> lock(member.group->mutex);
    member.aborted = true;
    member.group->gone[static_cast<size_t>(member.rank)] = true;
  }
  member.group->changed.notify_all();
  delete comm;
  return success;
}
int ncclCommDestroy(ncclComm* comm) {
  return ncclCommAbort(comm);
}

int ncclGroupStart() {
  if (depth++ == 0) calls = {};
  return success;
}
int ncclGroupEnd() {
  if (--depth > 0 || calls.member == nullptr) return success;
  Member& member = *calls.member;
  member.numQuestionsLeft = numQuestions;
  member.atOutcome = [work = calls] { submit(work); };
  calls = {};
  return inProgress;
}
int ncclSend(const void* data, size_t count, int type, int peer, ncclComm* comm, CUstream_st* stream) {
  return addCall("ncclSend", comm, stream, [&] {
    auto* source = const_cast<char*>(static_cast<const char*>(data));
    calls.transfers.push_back({true, peer, std::make_shared<Message>(Message{source, bytesOf(type, count)})});
  });
}
int ncclRecv(void* data, size_t count, int type, int peer, ncclComm* comm, CUstream_st* stream) {
  return addCall("ncclRecv", comm, stream, [&] {
    calls.transfers.push_back(
        {false, peer, std::make_shared<Message>(Message{static_cast<char*>(data), bytesOf(type, count)})});
  });
}
int ncclAllGather(const void* input, void* output, size_t count, int type, ncclComm* comm,
                  CUstream_st* stream) {
  const size_t bytes = bytesOf(type, count);
  return addCollective("ncclAllGather", comm, stream, input, output, [=](Round& round) {
    std::vector<char> all;
    for (const char* from : round.inputs) all.insert(all.end(), from, from + bytes);
    for (char* to : round.outputs) std::memcpy(to, all.data(), all.size());
  });
}
int ncclReduceScatter(const void* input, void* output, size_t count, int type, int, ncclComm* comm,
                      CUstream_st* stream) {
  const size_t bytes = bytesOf(type, count);
  return addCollective("ncclReduceScatter", comm, stream, input, output, [=](Round& round) {
    const std::vector<char> sums = sumOf(round, 0, bytes * round.inputs.size(), type);
    for (size_t rank = 0; rank < round.outputs.size(); rank++)
      std::memcpy(round.outputs[rank], sums.data() + rank * bytes, bytes);
  });
}
int ncclReduce(const void* input, void* output, size_t count, int type, int, int root, ncclComm* comm,
               CUstream_st* stream) {
  const size_t bytes = bytesOf(type, count);
  return addCollective("ncclReduce", comm, stream, input, output, [=](Round& round) {
    const std::vector<char> sums = sumOf(round, 0, bytes, type);
    std::memcpy(round.outputs[static_cast<size_t>(root)], sums.data(), bytes);
  });
}
int ncclAllReduce(const void* input, void* output, size_t count, int type, int, ncclComm* comm,
                  CUstream_st* stream) {
  const size_t bytes = bytesOf(type, count);
  return addCollective("ncclAllReduce", comm, stream, input, output, [=](Round& round) {
    const std::vector<char> sums = sumOf(round, 0, bytes, type);
    for (char* to : round.outputs) std::memcpy(to, sums.data(), bytes);
  });
}
int ncclBroadcast(const void* input, void* output, size_t count, int type, int root, ncclComm* comm,
                  CUstream_st* stream) {
  const size_t bytes = bytesOf(type, count);
  return addCollective("ncclBroadcast", comm, stream, input, output, [=](Round& round) {
    const char* from = round.inputs[static_cast<size_t>(root)];
    const std::vector<char> value(from, from + bytes);
    for (char* to : round.outputs) std::memcpy(to, value.data(), bytes);
  });
}

}  // extern "C"
