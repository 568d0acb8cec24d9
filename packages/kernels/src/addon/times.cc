#include "args.h"

// The time that work takes.
namespace longscan {

namespace {

Napi::Object asObject(Napi::Env env, const std::unordered_map<std::string, OpTime>& times) {
  auto result = Napi::Object::New(env);
  for (const auto& [op, time] : times) {
    auto entry = Napi::Object::New(env);
    entry.Set("count", static_cast<double>(time.count));
    entry.Set("ms", std::chrono::duration<double, std::milli>(time.total).count());
    result.Set(op, entry);
  }
  return result;
}

Napi::Value streamOpTimes(Args& args) {
  return asObject(args.env(), args.stream().opTimes());
}

Napi::Value stopwatchStart(Args& args) {
  auto watch = std::make_shared<Stopwatch>(args.stream());
  args.enqueueAnywhere([watch] { watch->begin(); });
  return Napi::Number::New(args.env(), args.data().stopwatches.add(watch));
}

Napi::Value stopwatchStop(Args& args) {
  Stream& stream = args.stream();
  const double id = args.number("watch");
  const auto watch = args.data().stopwatches.find(id);
  args.check(watch != nullptr && &watch->stream() == &stream,
             "no stopwatch of this stream, or stopped already");
  args.data().stopwatches.remove(id);
  auto buffer = Napi::ArrayBuffer::New(args.env(), sizeof(double));
  auto* ms = static_cast<double*>(buffer.Data());
  return args.data().settle(
      args.env(), stream, [watch] { watch->end(); }, buffer, [watch, ms] { *ms = watch->elapsedMs(); });
}

Napi::Value profileBegin(Args& args) {
  Stream& stream = args.stream();
  auto profile = std::make_shared<OpProfile>(stream);
  args.enqueueAnywhere([profile, &stream] {
    profile->begin();
    stream.setProfile(profile);
  });
  return Napi::Number::New(args.env(), args.data().profiles.add(profile));
}

Napi::Value profileEnd(Args& args) {
  Stream& stream = args.stream();
  const auto profile = args.data().profiles.find(args.number("profile"));
  args.check(profile != nullptr && &profile->stream() == &stream,
             "no profile of this stream, or read already");
  const auto end = [profile, &stream] {
    stream.setProfile(nullptr);
    profile->end();
  };
  return args.data().settle(args.env(), stream, end, args.env().Undefined(), [profile] { profile->read(); });
}

Napi::Value profileTimes(Args& args) {
  const double id = args.number("profile");
  const auto profile = args.data().profiles.find(id);
  args.check(profile != nullptr, "no profile, or read already");
  args.data().profiles.remove(id);
  auto result = Napi::Object::New(args.env());
  result.Set("wholeMs", profile->wholeMs());
  result.Set("ops", asObject(args.env(), profile->ops()));
  return result;
}

}  // namespace

void registerTimes(Registry& registry) {
  registry.add("streamOpTimes", 1, streamOpTimes);
  registry.add("stopwatchStart", 1, stopwatchStart);
  registry.add("stopwatchStop", 2, stopwatchStop);
  registry.add("profileBegin", 1, profileBegin);
  registry.add("profileEnd", 2, profileEnd);
  registry.add("profileTimes", 1, profileTimes);
}

}  // namespace longscan
