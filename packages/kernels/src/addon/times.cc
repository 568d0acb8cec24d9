#include <algorithm>

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
    entry.Set("bytes", static_cast<double>(time.bytes));
    result.Set(op, entry);
  }
  return result;
}

Napi::Value streamOpTimes(Args& args) {
  return asObject(args.env(), args.stream().opTimes());
}

Napi::Value stopwatchStart(Args& args) {
  auto watch = std::make_shared<Stopwatch>(args.stream());
  args.refuseInRecording("taking a time");
  watch->stream().enqueueNote(args.function(), [watch] { watch->begin(); });
  return Napi::Number::New(args.env(), args.data().stopwatches.add(watch));
}

Napi::Value stopwatchStop(Args& args) {
  Stream& stream = args.stream();
  const double id = args.number("watch");
  args.refuseInRecording("taking a time");
  const auto watch = args.data().stopwatches.find(id);
  args.check(watch != nullptr && &watch->stream() == &stream,
             "no stopwatch of this stream, or stopped already");
  args.data().stopwatches.remove(id);
  auto buffer = Napi::ArrayBuffer::New(args.env(), sizeof(double));
  auto* ms = static_cast<double*>(buffer.Data());
  return args.data().settle(
      args.env(), stream, [watch] { watch->end(); }, buffer, [watch, ms] { *ms = watch->elapsedMs(); });
}

Napi::Value traceBegin(Args& args) {
  Stream& stream = args.stream();
  const bool ops = args.flag("ops");
  args.refuseInRecording("the begin of a trace");
  const int64_t maxSpans = args.integer("maxSpans");
  args.check(maxSpans >= 0 && maxSpans <= 1 << 24, "maxSpans is not between 0 and 2^24");
  auto trace = std::make_shared<StreamTrace>(stream, ops, static_cast<size_t>(maxSpans));
  stream.enqueueNote(args.function(), [trace, &stream] {
    trace->begin();
    stream.setTrace(trace);
  });
  return Napi::Number::New(args.env(), args.data().traces.add(trace));
}

Napi::Value traceMark(Args& args) {
  Stream& stream = args.stream();
  args.refuseInRecording("a mark in a trace");
  stream.enqueueNote(args.function(), [&stream, name = args.text("name")] {
    if (StreamTrace* trace = stream.trace()) trace->mark(name);
  });
  return args.env().Undefined();
}

Napi::Value traceEnd(Args& args) {
  Stream& stream = args.stream();
  const auto trace = args.data().traces.find(args.number("trace"));
  args.check(trace != nullptr && &trace->stream() == &stream, "no trace of this stream, or read already");
  args.refuseInRecording("the end of a trace");
  const auto end = [trace, &stream] {
    stream.setTrace(nullptr);
    trace->end();
  };
  return args.data().settle(args.env(), stream, end, args.env().Undefined(), [trace] { trace->read(); });
}

double microseconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

/// Eight numbers a span, in the order of `spanFields` in stream-trace.ts.
Napi::Float64Array asNumbers(Args& args, const StreamTrace& trace, const std::vector<const char*>& names) {
  constexpr size_t numFields = 8;
  auto numbers = Napi::Float64Array::New(args.env(), numFields * trace.spans().size());
  double* next = numbers.Data();
  for (const TraceSpan& span : trace.spans()) {
    const auto name = std::find(names.begin(), names.end(), span.op) - names.begin();
    const AwaitedWork& waitsFor = span.waitsFor;
    for (const double value : {microseconds(span.begin), microseconds(span.end), static_cast<double>(name),
                               static_cast<double>(span.ticket), args.data().streamId(waitsFor.stream),
                               static_cast<double>(waitsFor.ticket), static_cast<double>(span.collective),
                               static_cast<double>(span.bytesSent)}) {
      *next++ = value;
    }
  }
  return numbers;
}

std::vector<const char*> namesIn(const StreamTrace& trace) {
  std::vector<const char*> names;
  for (const TraceSpan& span : trace.spans()) {
    if (std::find(names.begin(), names.end(), span.op) == names.end()) names.push_back(span.op);
  }
  return names;
}

Napi::Value traceResult(Args& args) {
  const double id = args.number("trace");
  const auto trace = args.data().traces.find(id);
  args.check(trace != nullptr, "no trace, or read already");
  args.data().traces.remove(id);
  const Napi::Env env = args.env();
  auto result = Napi::Object::New(env);
  result.Set("beginUs", microseconds(trace->beginOnHost().time_since_epoch()));
  result.Set("lengthUs", microseconds(trace->length()));
  result.Set("ops", asObject(env, trace->ops()));
  auto waits = Napi::Object::New(env);
  for (const auto& [stream, time] : trace->waits()) {
    waits.Set(static_cast<uint32_t>(args.data().streamId(stream)), microseconds(time.total) / 1000);
  }
  result.Set("waitsMs", waits);
  const std::vector<const char*> names = namesIn(*trace);
  auto nameList = Napi::Array::New(env, names.size());
  for (uint32_t i = 0; i < names.size(); i++) nameList[i] = names[i];
  result.Set("names", nameList);
  result.Set("spans", asNumbers(args, *trace, names));
  auto marks = Napi::Array::New(env, trace->marks().size());
  for (uint32_t i = 0; i < marks.Length(); i++) {
    auto mark = Napi::Object::New(env);
    mark.Set("name", trace->marks()[i].first);
    mark.Set("us", microseconds(trace->marks()[i].second));
    marks[i] = mark;
  }
  result.Set("marks", marks);
  result.Set("numDropped", static_cast<double>(trace->numDropped()));
  return result;
}

}  // namespace

void registerTimes(Registry& registry) {
  registry.add("streamOpTimes", 1, streamOpTimes);
  registry.add("stopwatchStart", 1, stopwatchStart);
  registry.add("stopwatchStop", 2, stopwatchStop);
  registry.add("traceBegin", 3, traceBegin);
  registry.add("traceMark", 2, traceMark);
  registry.add("traceEnd", 2, traceEnd);
  registry.add("traceResult", 1, traceResult);
}

}  // namespace longscan
