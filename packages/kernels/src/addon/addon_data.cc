#include "addon_data.h"

#include "errors.h"

namespace longscan {

void Gate::open() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
  }
  opened_.notify_all();
}

void Gate::pass() {
  std::unique_lock<std::mutex> lock(mutex_);
  opened_.wait(lock, [&] { return open_; });
}

struct AddonData::Settlement {
  Napi::Promise::Deferred deferred;
  Napi::ObjectReference result;  // kept alive while the stream writes into it; empty: undefined
  std::optional<StreamFailure> failure;
};

AddonData::AddonData(Napi::Env env) {
  notifier_ = Notifier::New(env, "longscan settlements", 0, 1, this);
  notifier_.Unref(env);
}

AddonData::~AddonData() {
  extensions.clear();
  graphs.clear();
  contexts.clear();
}

double AddonData::streamId(const Stream* stream) const {
  for (const auto& [id, open] : streams) {
    if (open == stream) return static_cast<double>(id);
  }
  return 0;
}

Napi::Promise AddonData::settle(Napi::Env env, Stream& stream, std::function<void()> work, Napi::Value result,
                                std::function<void()> afterwards) {
  auto* settlement = new Settlement{Napi::Promise::Deferred::New(env), {}, std::nullopt};
  if (result.IsObject()) settlement->result = Napi::Persistent(result.As<Napi::Object>());
  const Napi::Promise promise = settlement->deferred.Promise();
  if (numPending_++ == 0) notifier_.Ref(env);
  const auto then = [this, settlement, afterwards](const std::optional<StreamFailure>& failure) {
    settlement->failure = failure;
    try {
      if (!failure && afterwards) afterwards();
    } catch (...) {
      const Error error = handledError("read-back");
      settlement->failure = StreamFailure{error.code(), error.what()};
    }
    if (notifier_.NonBlockingCall(settlement) != napi_ok) delete settlement;
  };
  stream.enqueueAlways(then, std::move(work));
  return promise;
}

void AddonData::deliver(Napi::Env env, Napi::Function, AddonData* data, Settlement* settlement) {
  if (env != nullptr) {
    if (--data->numPending_ == 0) data->notifier_.Unref(env);
    Napi::HandleScope scope(env);
    if (settlement->failure) {
      settlement->deferred.Reject(
          toJsError(env, settlement->failure->code, settlement->failure->message).Value());
    } else {
      const bool isEmpty = settlement->result.IsEmpty();
      settlement->deferred.Resolve(isEmpty ? env.Undefined() : settlement->result.Value());
    }
  }
  delete settlement;
}

}  // namespace longscan
