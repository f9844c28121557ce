// One definition for CPU and GPU: functions marked FOURSTEP_HD compile as ordinary functions in a .cc and as
// __host__ __device__ in a .cu.
#pragma once

#if defined(__CUDACC__)
#define FOURSTEP_HD __host__ __device__ __forceinline__
#else
#define FOURSTEP_HD inline
#endif
