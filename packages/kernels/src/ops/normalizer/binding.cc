#include "../../addon/args.h"
#include "normalizer.h"

namespace longscan {

namespace {

/// wide is narrow with one more column.
void checkWidths(Args& args, const TensorRef& narrow, const TensorRef& wide) {
  args.checkSameType(narrow, wide);
  args.check(narrow.numDims >= 1 && wide.numDims >= 1 && wide.dim(-1) == narrow.dim(-1) + 1,
             "not one column more");
  args.check(narrow.numRows() == wide.numRows(), "numbers of rows differ");
}

/// Enqueues `body(begin, end, T{})` over the rows of `narrow`.
template <typename Body>
Napi::Value enqueueRows(Args& args, Stream& stream, const TensorRef& narrow, Body body) {
  ThreadPool& pool = stream.context().pool();
  dispatchFloat(args, narrow.dtype, [&](auto zero) {
    args.enqueue([=, &pool] {
      parallelFor(pool, narrow.numRows(), narrow.dim(-1) + 8,
                  [&](int64_t begin, int64_t end) { body(begin, end, zero); });
    });
  });
  return args.env().Undefined();
}

Napi::Value bindWidenRows(Args& args) {
  Stream& stream = args.stream();
  const TensorRef v = args.tensor("v");
  const double last = args.number("last");
  const TensorRef wide = args.tensor("wide");
  checkWidths(args, v, wide);
  return enqueueRows(args, stream, v, [=](int64_t begin, int64_t end, auto zero) {
    using T = decltype(zero);
    widenRows(v.as<T>(), wide.as<T>(), v.dim(-1), static_cast<T>(last), begin, end);
  });
}

Napi::Value bindNarrowRows(Args& args) {
  Stream& stream = args.stream();
  const TensorRef wide = args.tensor("wide");
  const TensorRef narrow = args.tensor("narrow");
  checkWidths(args, narrow, wide);
  return enqueueRows(args, stream, narrow, [=](int64_t begin, int64_t end, auto zero) {
    using T = decltype(zero);
    narrowRows(wide.as<T>(), narrow.as<T>(), narrow.dim(-1), begin, end);
  });
}

Napi::Value bindNormalizeForward(Args& args) {
  Stream& stream = args.stream();
  const TensorRef o = args.tensor("o");
  const double eps = args.number("eps");
  const TensorRef y = args.tensor("y");
  checkWidths(args, y, o);
  return enqueueRows(args, stream, y, [=](int64_t begin, int64_t end, auto zero) {
    using T = decltype(zero);
    normalizeForward(o.as<T>(), y.as<T>(), y.dim(-1), static_cast<T>(eps), begin, end);
  });
}

Napi::Value bindNormalizeBackward(Args& args) {
  Stream& stream = args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef o = args.tensor("o");
  const double eps = args.number("eps");
  const TensorRef outputGradient = args.tensor("do");
  checkWidths(args, dy, o);
  checkWidths(args, dy, outputGradient);
  return enqueueRows(args, stream, dy, [=](int64_t begin, int64_t end, auto zero) {
    using T = decltype(zero);
    normalizeBackward(dy.as<T>(), o.as<T>(), outputGradient.as<T>(), dy.dim(-1), static_cast<T>(eps), begin,
                      end);
  });
}

}  // namespace

void register_normalizer(Registry& registry) {
  registry.add("widenRows", 4, bindWidenRows);
  registry.add("narrowRows", 3, bindNarrowRows);
  registry.add("normalizeForward", 4, bindNormalizeForward);
  registry.add("normalizeBackward", 5, bindNormalizeBackward);
}

}  // namespace longscan
