#include "in_process_transport.h"

#include <algorithm>
#include <cstring>

namespace longscan {

InProcessHub::InProcessHub(int size)
    : size_(size),
      moved_(static_cast<size_t>(size)),
      channels_(static_cast<size_t>(size) * static_cast<size_t>(size)),
      gone_(static_cast<size_t>(size)) {}

void InProcessHub::match(Channel& channel) {
  while (!channel.sends.empty() && !channel.receives.empty()) {
    auto& source = channel.sends.front();
    auto& target = channel.receives.front();
    const size_t bytes = std::min(source.bytes, target.bytes);
    std::memcpy(target.data, source.data, bytes);
    source = {source.data + bytes, source.bytes - bytes};
    target = {target.data + bytes, target.bytes - bytes};
    channel.moved += bytes;
    if (source.bytes == 0) channel.sends.pop_front();
    if (target.bytes == 0) channel.receives.pop_front();
  }
}

void InProcessHub::leave(int rank) {
  gone_[static_cast<size_t>(rank)] = true;
  // Nobody may copy to or from the buffers of a rank that has left: it is free to reuse them.
  for (int peer = 0; peer < size_; peer++) {
    channel(rank, peer).sends.clear();
    channel(peer, rank).receives.clear();
  }
  for (auto& moved : moved_) moved.notify_all();
}

InProcessTransport::InProcessTransport(std::string name, int rank, std::shared_ptr<InProcessHub> hub)
    : Transport(std::move(name), rank, hub->size()), hub_(std::move(hub)) {}

Request InProcessTransport::startSend(int peer, const void* data, size_t bytes) {
  std::lock_guard<std::mutex> lock(hub_->mutex_);
  failure_.throwIfSet();  // again, now that nobody can abort: a rank that has left must leave nothing behind
  auto& channel = hub_->channel(rank(), peer);
  channel.sendEnd += bytes;
  if (bytes > 0) channel.sends.push_back({static_cast<const char*>(data), bytes});
  InProcessHub::match(channel);
  hub_->moved_[static_cast<size_t>(peer)].notify_one();
  return {peer, Direction::send, bytes, channel.sendEnd};
}

Request InProcessTransport::startReceive(int peer, void* data, size_t bytes) {
  std::lock_guard<std::mutex> lock(hub_->mutex_);
  failure_.throwIfSet();  // again, now that nobody can abort: a rank that has left must leave nothing behind
  auto& channel = hub_->channel(peer, rank());
  channel.receiveEnd += bytes;
  if (bytes > 0) channel.receives.push_back({static_cast<char*>(data), bytes});
  InProcessHub::match(channel);
  hub_->moved_[static_cast<size_t>(peer)].notify_one();
  return {peer, Direction::receive, bytes, channel.receiveEnd};
}

InProcessHub::Channel& InProcessTransport::channelOf(const Request& request) {
  return request.direction == Direction::send ? hub_->channel(rank(), request.peer)
                                              : hub_->channel(request.peer, rank());
}

void InProcessTransport::wait(const Request* requests, size_t count, Deadline deadline) {
  std::unique_lock<std::mutex> lock(hub_->mutex_);
  bool late = false;
  for (;;) {
    failure_.throwIfSet();
    const Request* pending = nullptr;
    for (size_t i = 0; i < count; i++) {
      const Request& request = requests[i];
      const uint64_t moved = channelOf(request).moved;
      if (moved >= request.end) continue;
      if (hub_->gone_[static_cast<size_t>(request.peer)])
        fail(lostError(request, moved, "it left the group"));
      if (pending == nullptr) pending = &request;
    }
    if (pending == nullptr) return;
    if (late) fail(deadlineError(*pending, channelOf(*pending).moved));
    late = hub_->moved_[static_cast<size_t>(rank())].wait_until(lock, deadline) == std::cv_status::timeout;
  }
}

void InProcessTransport::fail(const CommError& error) {
  failure_.set(error);
  hub_->leave(rank());
  failure_.throwIfSet();
  throw error;
}

// Failing and leaving are one step: this rank's thread may free its buffers as soon as it sees the failure.
void InProcessTransport::abort(const std::string& reason) {
  std::lock_guard<std::mutex> lock(hub_->mutex_);
  if (failure_.set(abortError(reason))) hub_->leave(rank());
}

void InProcessTransport::close() {
  std::lock_guard<std::mutex> lock(hub_->mutex_);
  failure_.set(closedError());
  hub_->leave(rank());
}

}  // namespace longscan
