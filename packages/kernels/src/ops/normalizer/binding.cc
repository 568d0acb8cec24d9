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

Napi::Value bindWidenRows(Args& args) {
  args.stream();
  const TensorRef v = args.tensor("v");
  const double last = args.number("last");
  const TensorRef wide = args.tensor("wide");
  checkWidths(args, v, wide);
  args.enqueueRanges(v.dtype, v.numRows(), v.dim(-1) + 8, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    widenRows(v.as<T>(), wide.as<T>(), v.dim(-1), static_cast<T>(last), begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindNarrowRows(Args& args) {
  args.stream();
  const TensorRef wide = args.tensor("wide");
  const TensorRef narrow = args.tensor("narrow");
  checkWidths(args, narrow, wide);
  args.enqueueRanges(narrow.dtype, narrow.numRows(), narrow.dim(-1) + 8,
                     [=](auto zero, int64_t begin, int64_t end) {
                       using T = decltype(zero);
                       narrowRows(wide.as<T>(), narrow.as<T>(), narrow.dim(-1), begin, end);
                     });
  return args.env().Undefined();
}

Napi::Value bindNormalizeForward(Args& args) {
  args.stream();
  const TensorRef o = args.tensor("o");
  const double eps = args.number("eps");
  const TensorRef y = args.tensor("y");
  checkWidths(args, y, o);
  args.enqueueRanges(y.dtype, y.numRows(), y.dim(-1) + 8, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    normalizeForward(o.as<T>(), y.as<T>(), y.dim(-1), static_cast<T>(eps), begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindNormalizeBackward(Args& args) {
  args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef o = args.tensor("o");
  const double eps = args.number("eps");
  const TensorRef outputGradient = args.tensor("do");
  checkWidths(args, dy, o);
  checkWidths(args, dy, outputGradient);
  args.enqueueRanges(dy.dtype, dy.numRows(), dy.dim(-1) + 8, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    normalizeBackward(dy.as<T>(), o.as<T>(), outputGradient.as<T>(), dy.dim(-1), static_cast<T>(eps), begin,
                      end);
  });
  return args.env().Undefined();
}

}  // namespace

void register_normalizer(Registry& registry) {
  registry.add("widenRows", 4, bindWidenRows);
  registry.add("narrowRows", 3, bindNarrowRows);
  registry.add("normalizeForward", 4, bindNormalizeForward);
  registry.add("normalizeBackward", 5, bindNormalizeBackward);
}

}  // namespace longscan
