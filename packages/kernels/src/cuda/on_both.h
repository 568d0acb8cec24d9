#pragma once

/// Before functions that the host and kernels call.
#ifdef __CUDACC__
#define LONGSCAN_ON_BOTH __host__ __device__
#else
#define LONGSCAN_ON_BOTH
#endif
