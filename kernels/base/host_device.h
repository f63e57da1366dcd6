#pragma once

// HOST_DEVICE: the function is compiled for the host and, by nvcc, for the GPU too.

#ifdef __CUDACC__
#define HOST_DEVICE __host__ __device__
#else
#define HOST_DEVICE
#endif
