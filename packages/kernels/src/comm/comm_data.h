#pragma once

#include <napi.h>

#include "../addon/addon_data.h"
#include "../addon/args.h"
#include "communicator.h"
#include "tcp/listener.h"

namespace longscan {

/// A communicator as JavaScript holds it.
struct CommHandle {
  std::shared_ptr<Communicator> communicator;
  uint64_t stream = 0;
  Napi::ObjectReference progress;  // the Int32Array of attachProgress, kept alive
  bool isClosed = false;

  ~CommHandle() {
    communicator->attachProgress(nullptr);
    if (!isClosed) communicator->abort("its environment has ended");
  }
};

/// What this folder keeps in each JavaScript environment.
struct CommData {
  Handles<CommHandle> communicators;
  Handles<TcpListener> listeners;
};

CommData& commData(Args& args);

/// Reads a communicator and checks that `stream` is its own.
std::shared_ptr<Communicator> communicatorArgument(Args& args, const Stream& stream);

/// Hands a new communicator to JavaScript as a number.
Napi::Value addCommunicator(Args& args, std::shared_ptr<Communicator> communicator, const Stream& stream);

void registerGroups(Registry& registry);
void registerCollectives(Registry& registry);

}  // namespace longscan
