// All kernels, as bodies: an entry point calls one of them. source.py writes the entry points that
// a model needs; instances_*.cu have some for the compiler's report.
#pragma once

#include "fma.cuh"
#include "gather.cuh"
#include "mma.cuh"
#include "reduce.cuh"
#include "rows.cuh"
#include "wgmma.cuh"

namespace slidecell {

template <class Config>
__device__ __forceinline__ void run_fma(const FmaArgs& args, float4* shared) {
  FmaKernel<Config>(args, reinterpret_cast<float*>(shared)).run();
}

template <class Config>
__device__ __forceinline__ void run_mma(const MmaArgs& args, float4* shared) {
  uint32* words = reinterpret_cast<uint32*>(shared);
  MmaKernel<Config>(args, words).run(words);
}

template <class Config>
__device__ __forceinline__ void run_wgmma(const MmaArgs& args, float4* shared) {
  uint32* words = reinterpret_cast<uint32*>(shared);
  WgmmaKernel<Config>(args, words).run(words);
}

}  // namespace slidecell
