#include "embedding.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename T>
static inline void gather(const int32_t* tokens, const T* table, T* y, int64_t dim, int64_t begin,
                          int64_t end) {
  for (int64_t t = begin; t < end; t++) {
    const T* row = table + tokens[t] * dim;
    for (int64_t i = 0; i < dim; i++) y[t * dim + i] = row[i];
  }
}

template <typename T>
static inline void scatter(const int32_t* tokens, const T* dy, T* dtable, int64_t numTokens, int64_t dim,
                           int64_t begin, int64_t end) {
  for (int64_t t = 0; t < numTokens; t++) {
    T* row = dtable + tokens[t] * dim;
    const T* gradient = dy + t * dim;
    for (int64_t i = begin; i < end; i++) row[i] += gradient[i];
  }
}

void embeddingForward(const int32_t* tokens, const float* table, float* y, int64_t dim, int64_t begin,
                      int64_t end) {
  gather(tokens, table, y, dim, begin, end);
}

void embeddingForward(const int32_t* tokens, const double* table, double* y, int64_t dim, int64_t begin,
                      int64_t end) {
  gather(tokens, table, y, dim, begin, end);
}

void embeddingScatter(const int32_t* tokens, const float* dy, float* dtable, int64_t numTokens, int64_t dim,
                      int64_t begin, int64_t end) {
  scatter(tokens, dy, dtable, numTokens, dim, begin, end);
}

void embeddingScatter(const int32_t* tokens, const double* dy, double* dtable, int64_t numTokens, int64_t dim,
                      int64_t begin, int64_t end) {
  scatter(tokens, dy, dtable, numTokens, dim, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
